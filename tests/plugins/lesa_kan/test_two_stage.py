from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from lesa_framework import OneStage, Recorder
from lesa_framework.training import NoGradientsError, Sampler, Task, drift_db
from lesa_framework.training.task import make_batches
from lesa_framework.types import Tap
from lesa_kan.experts import ExpertShape
from lesa_kan.settings import LesaTrainingConfig
from lesa_kan.trainable_lesa import TrainableLesa
from lesa_kan.two_stage import TwoStageFit
from lesa_schedules.schedules import FixedInterval

STEPS = 20


def fit_for(pipe: Any, trainable: TrainableLesa, **settings: Any) -> TwoStageFit:
    defaults = {"num_steps": STEPS, "batch": 4, "guided_lr": 0.03, "closed_loop_lr": 0.03}
    chosen = LesaTrainingConfig(**{**defaults, **settings})
    task = Task(
        chosen,
        Sampler(pipe, chosen.num_steps, {}),
        tuple(torch.linspace(1, 0, chosen.num_steps + 1).tolist()),
        FixedInterval(2, 2),
        OneStage(),
        "toy",
        Tap.PRE_HEAD,
        make_batches([str(number) for number in range(8)], 4, seed=0),
    )
    return TwoStageFit(trainable, chosen, task)


def trained(pipe: Any, trainable: TrainableLesa, **settings: Any) -> TwoStageFit:
    fit = fit_for(pipe, trainable, **settings)
    for _ in fit.run():
        pass
    return fit


def short(pipe: Any, trainable: TrainableLesa, **settings: Any) -> TwoStageFit:
    """A fit on six steps, two of them predicted."""
    return fit_for(pipe, trainable, num_steps=6, **settings)


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


def seen(fit: TwoStageFit) -> list[tuple[str, int, int, int, bool]]:
    return [(step.stage, step.done, step.total, step.epoch, step.save) for step in fit.run()]


def test_progress_counts_every_batch_of_both_stages(toy_pipeline: Any, slope: Any) -> None:
    fit = short(toy_pipeline, slope, guided_epochs=2, closed_loop_epochs=2)
    assert seen(fit) == [
        ("guided", 1, 8, 0, False),
        ("guided", 2, 8, 0, True),
        ("guided", 3, 8, 1, False),
        ("guided", 4, 8, 1, True),
        ("safe start", 4, 8, 0, False),
        ("closed loop", 5, 8, 0, False),
        ("closed loop", 6, 8, 0, True),
        ("closed loop", 7, 8, 1, False),
        ("closed loop", 8, 8, 1, True),
    ]
    assert fit.epochs == {"guided": 2, "safe start": 1, "closed loop": 2}


def test_without_the_first_stage_the_runs_are_recorded_and_nothing_is_restrained(toy_pipeline: Any, slope: Any) -> None:
    fit = short(toy_pipeline, slope, guided_epochs=0, closed_loop_epochs=1)
    steps = list(fit.run())
    assert [(step.stage, step.done, step.total, step.save) for step in steps] == [
        ("record", 1, 4, False),
        ("record", 2, 4, False),
        ("closed loop", 3, 4, False),
        ("closed loop", 4, 4, True),
    ]
    assert [step.loss is None for step in steps] == [True, True, False, False]
    assert {entry["stage"] for entry in fit.log} == {"closed loop"}


def test_without_the_second_stage_nothing_is_restrained_or_measured(toy_pipeline: Any, slope: Any) -> None:
    fit = short(toy_pipeline, slope, guided_epochs=1, closed_loop_epochs=0)
    assert seen(fit) == [("guided", 1, 2, 0, False), ("guided", 2, 2, 0, True)]
    assert fit.drift_db is None
    assert fit.epochs["safe start"] == 0


def test_the_log_has_each_batchs_epoch_loss_and_distance(toy_pipeline: Any, slope: Any) -> None:
    fit = short(toy_pipeline, slope, guided_epochs=2, closed_loop_epochs=3)
    steps = [step for step in fit.run() if step.stage != "safe start"]
    log = [entry for entry in fit.log if entry["stage"] != "safe start"]
    assert [entry["epoch"] for entry in log] == [0, 0.5, 1, 1.5, 0, 0.5, 1, 1.5, 2, 2.5]
    assert [(entry["stage"], entry["loss"], entry["drift_db"]) for entry in log] == [
        (step.stage, step.loss, step.drift_db) for step in steps
    ]
    assert [entry["drift_db"] is None for entry in log] == [True] * 4 + [False] * 6
    assert fit.drift_db == pytest.approx((log[-1]["drift_db"] + log[-2]["drift_db"]) / 2)
    assert fit.tensors() == slope.state_dict()


def test_both_stages_tell_their_optimiser_how_far_they_are(toy_pipeline: Any, slope: Any, monkeypatch: Any) -> None:
    told: list[float] = []
    monkeypatch.setattr("lesa_kan.optimiser.Optimiser.set_epoch", lambda _, epoch: told.append(epoch))
    with torch.no_grad():  # it needs gradients, whatever its caller does
        list(short(toy_pipeline, slope, guided_epochs=2, closed_loop_epochs=1).run())
    assert told == [0, 0.5, 1, 1.5, 0, 0.5]
    assert float(slope.a.detach()) != 0


def test_what_is_measured_are_the_weights_of_the_moment(toy_pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trainable = TrainableLesa(ExpertShape(6, (2,), (3,)), 0)
    fit = short(toy_pipeline, trainable, guided_epochs=0, closed_loop_epochs=0)
    list(fit.run())
    state, before = trainable.state_dict(), fit.measure(0)
    trainable.restrain(0.0)
    assert fit.measure(0) != before
    trainable.load_state_dict(state)
    with_graph: list[bool] = []
    prepare = trainable.prepare
    monkeypatch.setattr(
        trainable, "prepare", lambda sigmas: (with_graph.append(torch.is_grad_enabled()), prepare(sigmas))
    )
    assert fit.measure(0) == before
    assert with_graph == [False]


def test_the_loss_of_the_first_stage_is_the_mean_over_predicted_steps(toy_pipeline: Any, slope: Any) -> None:
    fit = short(toy_pipeline, slope, guided_epochs=1, guided_lr=1e-9, closed_loop_epochs=0)
    step = next(fit.run())
    recorder = Recorder()
    fit._task.uncached(fit._task.batches[0], recorder)
    features = [recorder.by_step["branch0", index] for index in range(6)]
    # The slope is 0: reuse of the newest feature. Of the six steps 2 and 4 are predicted.
    expected = [float((features[index - 1] - features[index]).abs().mean()) for index in (2, 4)]
    assert step.loss == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_a_batch_is_measured_against_its_own_uncached_run(toy_pipeline: Any, slope: Any) -> None:
    fit = short(toy_pipeline, slope, guided_epochs=0, closed_loop_epochs=0)
    list(fit.run())
    slope.a.data.fill_(0.25)
    for number, batch in enumerate(fit._task.batches):
        expected = drift_db(fit._task.rollout(batch, slope), fit._task.uncached(batch))
        assert fit.measure(number) == pytest.approx(expected)
    assert fit.measure(0) != fit.measure(1)


def test_every_strength_is_tried_from_the_same_weights_and_the_best_is_kept(toy_pipeline: Any, slope: Any) -> None:
    fit = short(toy_pipeline, slope, guided_epochs=0, closed_loop_epochs=0)
    list(fit.run())
    expected = {}
    for factor in (1.0, 0.5, 0.25, 0.1, 0.0):
        slope.a.data.fill_(4.0 * factor)
        expected[str(factor)] = fit.measure(0)
    slope.a.data.fill_(4.0)
    found = fit._safe_start()
    (entry,) = fit.log
    assert entry["drift_db"] == pytest.approx(expected)
    assert found == max(entry["drift_db"].values())
    assert 0 < entry["kept"] < 1  # or the test would show nothing
    assert float(slope.a.detach()) == pytest.approx(4.0 * entry["kept"])


def test_a_resumed_fit_repeats_nothing(toy_pipeline: Any, slope: Any) -> None:
    first = short(toy_pipeline, slope, guided_epochs=2, closed_loop_epochs=2)
    run = first.run()
    kept = next(first.state_dict() for step in run if step.save and step.stage == "closed loop")
    second = short(toy_pipeline, slope, guided_epochs=2, closed_loop_epochs=2)
    second.load_state_dict(kept)
    assert len(second.log) == 7
    assert seen(second) == [
        ("record", 6, 8, 0, False),
        ("record", 6, 8, 0, False),
        ("closed loop", 7, 8, 1, False),
        ("closed loop", 8, 8, 1, True),
    ]
    assert len(first.log) == 7  # what was kept is a copy
    assert [entry["epoch"] for entry in second.log[-2:]] == [1, 1.5]


@pytest.mark.parametrize(("epochs", "held_out"), [((1, 1), 0.0), ((1, 1), 0.5), ((0, 1), 0.0)])
def test_the_fit_foretells_its_parts_and_its_files(toy_pipeline: Any, epochs: tuple[int, int], held_out: float) -> None:
    trainable = TrainableLesa(ExpertShape(num_steps=6, stage_history=(2,), hidden=(4,)), seed=0)
    guided, closed = epochs
    fit = short(toy_pipeline, trainable, guided_epochs=guided, closed_loop_epochs=closed, held_out=held_out)
    size = fit.size(branches=1)
    *_, last = fit.run()
    assert (size.parts, size.kept) == (last.total, 8)
    assert size.weights == sum(each.nbytes for each in fit.tensors().values())
    saved = [leaf for leaf in tree_leaves(fit.state_dict()) if isinstance(leaf, torch.Tensor)]
    assert sum(leaf.nbytes for leaf in saved) == pytest.approx(size.state, rel=0.25)
