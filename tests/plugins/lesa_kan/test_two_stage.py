from __future__ import annotations

import gc
from typing import Any

import pytest
import torch

from lesa_framework.training import NoGradientsError, Sampler, Task
from lesa_framework.training.run import make_batches
from lesa_framework.types import Tap
from lesa_kan.experts import ExpertShape
from lesa_kan.settings import LesaTrainingConfig
from lesa_kan.trainable import TrainablePredictor
from lesa_kan.trainable_lesa import TrainableLesa
from lesa_kan.two_stage import TwoStageFit
from lesa_routers.routers import Single
from lesa_schedules.schedules import FixedInterval

STEPS = 20


def fit_for(pipe: Any, trainable: TrainablePredictor, **settings: Any) -> TwoStageFit:
    defaults = {"num_steps": STEPS, "batch": 4, "guided_lr": 0.03, "closed_loop_lr": 0.03}
    chosen = LesaTrainingConfig(**{**defaults, **settings})
    task = Task(
        chosen,
        Sampler(pipe, STEPS, {}),
        tuple(torch.linspace(1, 0, STEPS + 1).tolist()),
        FixedInterval(2, 2),
        Single(),
        "toy",
        Tap.PRE_HEAD,
        make_batches([str(number) for number in range(8)], 4, seed=0),
    )
    return TwoStageFit(trainable, chosen, task)


def trained(pipe: Any, trainable: TrainablePredictor, **settings: Any) -> TwoStageFit:
    fit = fit_for(pipe, trainable, **settings)
    for _ in fit.run():
        pass
    return fit


def closeness(fit: TwoStageFit) -> float:
    return sum(fit.measure(number) for number in range(2)) / 2


@pytest.fixture
def best(toy_pipeline: Any, slope: Any) -> tuple[float, float]:
    """The best slope in closed loop, by trying 301 of them, and how close it comes."""
    fit = trained(toy_pipeline, slope, guided_epochs=0, closed_loop_epochs=0)
    found = (0.0, -1e9)
    for number in range(301):
        a = -1.5 + 0.01 * number
        slope.load_state_dict({"a": torch.tensor(a)})
        found = max(found, (a, closeness(fit)), key=lambda pair: pair[1])
    slope.load_state_dict({"a": torch.tensor(0.0)})
    return found


def test_closed_loop_finds_the_best_slope_and_beats_the_guided_stage(
    toy_pipeline: Any, slope: Any, best: tuple[float, float]
) -> None:
    guided = closeness(trained(toy_pipeline, slope, guided_epochs=4, closed_loop_epochs=0))
    both = trained(toy_pipeline, slope, guided_epochs=1, closed_loop_epochs=30)
    assert closeness(both) > guided + 1.0
    assert closeness(both) == pytest.approx(best[1], abs=0.3)
    assert slope.a.item() == pytest.approx(best[0], abs=0.1)


def test_gradients_through_the_model_find_it_too(toy_pipeline: Any, slope: Any, best: tuple[float, float]) -> None:
    fit = trained(toy_pipeline, slope, guided_epochs=0, closed_loop_epochs=30, through_model=True)
    assert closeness(fit) == pytest.approx(best[1], abs=0.2)


@pytest.mark.parametrize("target", ["trajectory", "feature"])
def test_closed_loop_of_lesa_improves_on_the_guided_stage_alone(toy_pipeline: Any, target: str) -> None:
    shape = ExpertShape(STEPS, (3,), hidden=(8,))
    guided = closeness(trained(toy_pipeline, TrainableLesa(shape, 0), guided_epochs=5, closed_loop_epochs=0))
    both = trained(toy_pipeline, TrainableLesa(shape, 0), guided_epochs=5, closed_loop_epochs=20, target=target)
    assert closeness(both) > guided + 1.0


def test_safe_start_keeps_the_strength_that_comes_closest(toy_pipeline: Any, slope: Any) -> None:
    fit = trained(toy_pipeline, slope, guided_epochs=4, guided_lr=0.3, closed_loop_epochs=1)
    (entry,) = (entry for entry in fit.log if entry["stage"] == "safe start")
    assert entry["drift_db"][str(entry["kept"])] == max(entry["drift_db"].values())


def test_resumed_training_equals_one_that_never_stopped(toy_pipeline: Any, slope: Any) -> None:
    whole = trained(toy_pipeline, slope, closed_loop_epochs=4)
    expected = slope.a.item()
    slope.load_state_dict({"a": torch.tensor(0.0)})
    first = fit_for(toy_pipeline, slope, closed_loop_epochs=4)
    for step in first.run():
        if step.save:
            kept = first.state_dict()
        if first.epochs["closed loop"] == 2:
            break
    slope.load_state_dict({"a": torch.tensor(9.0)})
    second = fit_for(toy_pipeline, slope, closed_loop_epochs=4)
    second.load_state_dict(kept)
    for _ in second.run():
        pass
    assert slope.a.item() == expected
    assert [entry["loss"] for entry in second.log if "loss" in entry] == [
        entry["loss"] for entry in whole.log if "loss" in entry
    ]


def test_a_finished_rollout_keeps_no_graph(toy_pipeline, slope):
    def alive() -> int:
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    fit = fit_for(toy_pipeline, slope, guided_epochs=0, closed_loop_epochs=3)
    gc.disable()
    try:
        counts = [alive() for step in fit.run() if step.stage == "closed loop"]
    finally:
        gc.enable()
    assert len(counts) == 6
    assert len(set(counts[1:])) == 1


def test_a_pipeline_without_gradients_is_told_the_setting_that_needs_none(toy_pipeline: Any, slope: Any) -> None:
    class Plain(type(toy_pipeline)):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **kwargs)

    with pytest.raises(NoGradientsError) as caught:
        trained(Plain(), slope, guided_epochs=0, closed_loop_epochs=1)
    assert str(caught.value) == (
        "Plain: its call cannot be run with gradients. Use `--set training.target=feature`, which needs none."
    )
    assert str(caught.value.__cause__) == "Plain: its call cannot be run with gradients. Use a fit that needs none."
    trained(Plain(), slope, guided_epochs=0, closed_loop_epochs=1, target="feature")
