from __future__ import annotations

import gc
from typing import Any

import pytest
import torch

from lesa_framework import TrainablePredictor
from lesa_framework.config.schema import TrainingConfig
from lesa_framework.training.rollout import Sampler
from lesa_framework.training.run import make_batches
from lesa_framework.training.two_stage import TwoStageTrainer
from lesa_framework.types import Tap
from lesa_kan.experts import ExpertShape
from lesa_kan.learner import LesaLearner
from lesa_routers.routers import Single
from lesa_schedules.schedules import FixedInterval

STEPS = 20


def trainer_for(pipe: Any, learner: TrainablePredictor, **settings: Any) -> TwoStageTrainer:
    defaults = {"num_steps": STEPS, "batch": 4, "guided_lr": 0.03, "closed_loop_lr": 0.03}
    return TwoStageTrainer(
        Sampler(pipe, STEPS, {}),
        learner,
        FixedInterval(2, 2),
        Single(),
        TrainingConfig(**{**defaults, **settings}),
        make_batches([str(number) for number in range(8)], 4, seed=0),
        sigmas=torch.linspace(1, 0, STEPS + 1).tolist(),
        backbone="toy",
        tap=Tap.PRE_HEAD,
    )


def trained(pipe: Any, learner: TrainablePredictor, **settings: Any) -> TwoStageTrainer:
    trainer = trainer_for(pipe, learner, **settings)
    for _ in trainer.train():
        pass
    return trainer


def closeness(trainer: TwoStageTrainer) -> float:
    return sum(trainer.measure(number) for number in range(2)) / 2


@pytest.fixture
def best(toy_pipeline: Any, slope: Any) -> tuple[float, float]:
    """The best slope in closed loop, by trying 301 of them, and how close it comes."""
    trainer = trained(toy_pipeline, slope, guided_epochs=0, closed_loop_epochs=0)
    found = (0.0, -1e9)
    for number in range(301):
        a = -1.5 + 0.01 * number
        slope.load_state_dict({"a": torch.tensor(a)})
        found = max(found, (a, closeness(trainer)), key=lambda pair: pair[1])
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
    trainer = trained(toy_pipeline, slope, guided_epochs=0, closed_loop_epochs=30, through_model=True)
    assert closeness(trainer) == pytest.approx(best[1], abs=0.2)


@pytest.mark.parametrize("target", ["trajectory", "feature"])
def test_closed_loop_of_lesa_improves_on_the_guided_stage_alone(toy_pipeline: Any, target: str) -> None:
    shape = ExpertShape(STEPS, (3,), hidden=(8,))
    guided = closeness(trained(toy_pipeline, LesaLearner(shape, 0), guided_epochs=5, closed_loop_epochs=0))
    both = trained(toy_pipeline, LesaLearner(shape, 0), guided_epochs=5, closed_loop_epochs=20, target=target)
    assert closeness(both) > guided + 1.0


def test_safe_start_keeps_the_strength_that_comes_closest(toy_pipeline: Any, slope: Any) -> None:
    trainer = trained(toy_pipeline, slope, guided_epochs=4, guided_lr=0.3, closed_loop_epochs=1)
    (entry,) = (entry for entry in trainer.log if entry["stage"] == "safe start")
    assert entry["drift_db"][str(entry["kept"])] == max(entry["drift_db"].values())


def test_resumed_training_equals_one_that_never_stopped(toy_pipeline: Any, slope: Any) -> None:
    whole = trained(toy_pipeline, slope, closed_loop_epochs=4)
    expected = slope.a.item()
    slope.load_state_dict({"a": torch.tensor(0.0)})
    first = trainer_for(toy_pipeline, slope, closed_loop_epochs=4)
    states: list[Any] = []
    first._saved = lambda: states.append(first.state_dict())
    for _ in first.train():
        if first.epochs["closed loop"] == 2:
            break
    kept = states[-1]
    slope.load_state_dict({"a": torch.tensor(9.0)})
    second = trainer_for(toy_pipeline, slope, closed_loop_epochs=4)
    second.load_state_dict(kept)
    for _ in second.train():
        pass
    assert slope.a.item() == expected
    assert [entry["loss"] for entry in second.log if "loss" in entry] == [
        entry["loss"] for entry in whole.log if "loss" in entry
    ]


def test_a_finished_rollout_leaves_no_graph_behind(toy_pipeline, slope):
    def alive() -> int:
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    trainer = trainer_for(toy_pipeline, slope, guided_epochs=0, closed_loop_epochs=3)
    gc.disable()
    try:
        counts = [alive() for step in trainer.train() if step.stage == "closed loop"]
    finally:
        gc.enable()
    assert len(counts) == 6
    assert len(set(counts[1:])) == 1
