"""The fits on a guided toy, in closed loop."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from lesa_fitted import fit as fit_module
from lesa_fitted.end_to_end import EndToEnd
from lesa_fitted.first_run import Unfitted
from lesa_fitted.fit import FittedFit
from lesa_fitted.predictor import FittedPredictorConfig
from lesa_fitted.settings import FittedTrainingConfig
from lesa_framework import AffinePredictor, ConfigError, Filter, Recorder, Tap
from lesa_framework.testing.conformance.probes import ComputeSteps
from lesa_framework.training import NoGradientsError, drift_db
from tests.toys import COMPUTED, STEPS

FULL = [torch.OutOfMemoryError("no room"), RuntimeError("DefaultCPUAllocator: no room")]


def test_velocities_are_found_where_they_are_read(make_task, monkeypatch):
    seen = []
    monkeypatch.setattr("lesa_fitted.velocities.Velocities.computed", lambda *_: seen.append(1))
    fitted(make_task(FittedTrainingConfig(target="feature")))
    fitted(make_task(FittedTrainingConfig(target="trajectory"), tap=Tap.OUTPUT), reads="all")
    assert seen == []


class Line(AffinePredictor):
    """Straight lines through the two newest computed features."""

    depth = 2

    def filter(self, entries, ctx):
        if len(entries) < 2:
            return Filter((1.0,))
        slope = (ctx.index - entries[0].step) / (entries[0].step - entries[1].step)
        return Filter((1 + slope, -slope))


def fitted(task, **keys) -> FittedFit:
    fit = FittedPredictorConfig(**keys).fit(task)
    for _ in fit.run():
        pass
    return fit


def closeness(task, predictor) -> float:
    with torch.no_grad():
        found = [drift_db(task.rollout(batch, predictor), task.uncached(batch)) for batch in task.batches]
    return sum(found) / len(found)


@pytest.mark.parametrize(
    ("target", "tap", "reads", "lead"),
    [
        ("trajectory", Tap.OUTPUT, "own", 15),
        ("trajectory", Tap.OUTPUT, "all", 25),
        ("trajectory", Tap.PRE_HEAD, "own", 15),
        ("feature", Tap.PRE_HEAD, "all", 10),
    ],
)
def test_a_greedy_fit_is_closer_than_straight_lines(make_task, target, tap, reads, lead):
    task = make_task(FittedTrainingConfig(target=target), tap=tap)
    assert closeness(task, fitted(task, reads=reads).predictor) > closeness(task, Line()) + lead


@pytest.mark.parametrize("reads", ["own", "all"])
def test_the_table_predicts_what_the_fit_predicted(make_task, reads):
    task = make_task(FittedTrainingConfig(), batch=6)
    fit = fitted(task, reads=reads)
    # With one batch the rows were solved on the way, so that the rollout of the fit was one of the table.
    assert fit.drift_db == pytest.approx(closeness(task, fit.predictor), abs=1e-3)


def test_after_a_step_that_no_schedule_foresaw_filters_are_still_closer_than_reuse(make_task):
    task = make_task(FittedTrainingConfig(), batch=6)
    predictor, more = fitted(task).predictor, replace(task, schedule=ComputeSteps((*COMPUTED, 7)))
    assert closeness(more, predictor) > closeness(more, Unfitted(1, "computed")) + 3


def test_a_fit_on_one_batch_takes_one_rollout_of_it(make_task, monkeypatch):
    task, sizes = make_task(FittedTrainingConfig(), batch=6), []
    rollout = type(task).rollout

    def counted(self, batch, *args, **keys):
        sizes.append(len(batch.prompts))
        return rollout(self, batch, *args, **keys)

    monkeypatch.setattr(type(task), "rollout", counted)
    fitted(task)
    assert sizes == [1, 6]  # the first shows which branches there are


def test_on_a_trajectory_all_branches_return_the_velocity_itself(make_task):
    task = make_task(FittedTrainingConfig(), batch=6)
    fit, recorder = fitted(task, reads="all"), Recorder()
    with torch.no_grad():
        task.rollout(task.batches[0], fit.predictor, observers=(recorder,))
    one, other = (recorder.by_step[name, 4] for name in ("branch0", "branch1"))
    assert torch.allclose(one, other, rtol=1e-5)


def test_more_passes_agree_on_batches_of_any_size(make_task):
    whole = make_task(FittedTrainingConfig(), batch=6)
    parts = make_task(FittedTrainingConfig(passes=4), batch=2)
    assert closeness(whole, fitted(parts).predictor) == pytest.approx(
        closeness(whole, fitted(whole).predictor), abs=0.5
    )


def test_a_sampler_that_goes_where_predictions_lead_is_given_a_trajectory(make_task):
    fit = fitted(make_task(FittedTrainingConfig()))
    assert fit._found.target == "trajectory"
    assert list(fit.log[0]["drift_db"]) == ["trajectory"]  # nothing else was tried


def test_with_another_sampler_the_closer_target_is_taken(make_task, monkeypatch):
    monkeypatch.setattr(fit_module, "_LARGE_MISS", 0.1)  # the toy's uneven moves miss by more
    fit = fitted(make_task(FittedTrainingConfig(), curved=True), reads="all")
    tried = fit.log[0]["drift_db"]
    assert len(tried) == 2
    assert fit._found.target == max(tried, key=tried.get)


def test_a_trajectory_needs_velocities(make_task):
    with pytest.raises(ConfigError, match=r"training\.target: 'trajectory' with predictor\.reads 'all'"):
        fitted(make_task(FittedTrainingConfig(target="trajectory"), tap=Tap.PRE_HEAD), reads="all")


def test_the_quick_fit_of_a_search_is_greedy():
    quick = FittedPredictorConfig().quick(FittedTrainingConfig(fit="end_to_end", passes=3, prompts=8))
    assert isinstance(quick, FittedTrainingConfig)
    assert (quick.fit, quick.passes, quick.prompts) == ("greedy", 1, 8)


@pytest.mark.parametrize("tap", [Tap.OUTPUT, Tap.PRE_HEAD])
def test_end_to_end_comes_closer_than_the_greedy_fit(make_task, tap):
    greedy = make_task(FittedTrainingConfig(), tap=tap)
    refined = make_task(FittedTrainingConfig(fit="end_to_end", iterations=60, lr=0.01, held_out=0), tap=tap)
    assert closeness(greedy, fitted(refined).predictor) > closeness(greedy, fitted(greedy).predictor) + 0.5


@pytest.mark.parametrize("tap", [Tap.OUTPUT, Tap.PRE_HEAD])
def test_tuned_computed_steps_come_closer_than_the_filters_alone(make_task, tap):
    found = {}
    for tunes in (False, True):
        settings = FittedTrainingConfig(fit="end_to_end", iterations=60, lr=0.01, held_out=0, tune_computed=tunes)
        fit = fitted(make_task(settings, tap=tap))
        found[tunes] = closeness(make_task(settings, tap=tap), fit.predictor)
        assert ("tuning" in fit.tensors()) is tunes
    assert found[True] > found[False] + 0.5
    shift, gain, ahead = fit.tensors()["tuning"].abs().amax((0, 1))
    assert min(shift, gain, ahead) > 0
    first = fit.tensors()["tuning"][0]
    assert not first[:, 2].any(), "the first step has no way behind it"


def test_the_filters_that_do_best_on_held_out_batches_are_kept(make_task):
    task = make_task(FittedTrainingConfig(fit="end_to_end", iterations=20, lr=3.0, held_out=0.5), prompts=4, batch=1)
    fit = FittedPredictorConfig().fit(task)
    assert {step.held_out for step in fit.run() if step.loss is not None} == {True}
    seen = [entry["drift_db"] for entry in fit.log if entry.get("iteration") and entry["drift_db"] is not None]
    assert fit.drift_db is not None
    assert fit.drift_db > max(seen)
    assert len(fit._fitted_on) == 2


def test_a_resumed_refinement_ends_as_one_in_one_go(make_task):
    settings = FittedTrainingConfig(fit="end_to_end", iterations=24, held_out=0.5, tune_computed=True)
    whole = fitted(make_task(settings))
    stopped = FittedPredictorConfig().fit(make_task(settings))
    for step in stopped.run():
        if step.save:
            break
    resumed = FittedPredictorConfig().fit(make_task(settings))
    resumed.load_state_dict(stopped.state_dict())
    assert sum(step.stage == "end to end" for step in resumed.run()) == 14
    for name, tensor in whole.tensors().items():
        assert torch.equal(resumed.tensors()[name], tensor), name
    assert whole.tensors().keys() == {"weights", "tuning"}


@pytest.mark.parametrize("error", [*FULL, NoGradientsError("SomePipeline")])
def test_without_gradients_the_greedy_filters_are_kept_and_it_is_said(make_task, monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(EndToEnd, "_step", refuse)
    task = make_task(FittedTrainingConfig(fit="end_to_end", held_out=0))
    fit = FittedPredictorConfig().fit(task)
    reason = "out of memory" if error in FULL else "no gradients through this model (NoGradientsError)"
    assert list(fit.run())[-1].stage == f"greedy only: {reason}"
    assert torch.equal(fit.tensors()["weights"], fitted(make_task(FittedTrainingConfig())).tensors()["weights"])


@pytest.mark.parametrize("records", ["computed", "all"])
def test_true_history_finds_a_linear_rule(make_task, records):
    # One prompt whose features are few numbers: with as many weights as numbers the fit is exact on true history.
    task = make_task(FittedTrainingConfig(fit="true_history", ridge=1e-12), prompts=1, batch=1)
    fit = fitted(task, records=records, history=STEPS, reads="own")
    recorder = Recorder()
    task.uncached(task.batches[0], recorder)
    features = recorder.by_step
    table, shape, ratios = fit.tensors()["weights"], fit._found.shape, []
    for step in sorted(set(range(STEPS)) - set(COMPUTED)):
        history = torch.stack([features["branch0", each].flatten() for each in shape.entries(step)])
        true = features["branch0", step].flatten()
        error = (table[step, 0, 0, : len(history)].float() @ history - true).norm()
        ratios.append(float(error / (history[0] - true).norm()))
    assert max(ratios) <= 1.0
    assert sum(ratios) / len(ratios) < 0.5


def test_a_fit_holds_the_features_of_one_batch_at_a_time(make_task, monkeypatch):
    kept: list[weakref.ref[torch.Tensor]] = []
    original = Recorder.lesa_step_end

    def watch(self, record, latent, feature):
        original(self, record, latent, feature)
        if self.features:
            kept.append(weakref.ref(self.features[-1]))

    monkeypatch.setattr(Recorder, "lesa_step_end", watch)
    task = make_task(FittedTrainingConfig(target="feature", passes=2), prompts=6, batch=1)
    fit = FittedPredictorConfig().fit(task)
    most = 2 * STEPS  # both branches of one prompt
    gc.disable()  # a session is a cycle, and the next collection may be a long time off
    try:
        for _ in fit.run():
            assert sum(ref() is not None for ref in kept) <= most
    finally:
        gc.enable()
    assert len(kept) > 5 * most


def test_settings_that_contradict_each_other_are_refused(make_task):
    with pytest.raises(ConfigError, match=r"predictor\.reads: 'all' with records 'all'"):
        FittedPredictorConfig(records="all", reads="all").fit(make_task(FittedTrainingConfig(fit="true_history")))
    with pytest.raises(ConfigError, match=r"predictor\.records: 'all' has predictions"):
        FittedPredictorConfig(records="all").fit(make_task(FittedTrainingConfig()))
    task = make_task(FittedTrainingConfig())
    task.schedule.dynamic = True
    with pytest.raises(ConfigError, match="schedule: 'fitted' has a filter for each step"):
        FittedPredictorConfig().fit(task)


def test_of_two_batches_one_is_held_out_and_without_any_nothing_was_measured(make_task):
    settings = FittedTrainingConfig(fit="end_to_end", iterations=2)
    assert len(FittedPredictorConfig().fit(make_task(settings))._fitted_on) == 1
    assert len(FittedPredictorConfig().fit(make_task(settings, batch=6))._fitted_on) == 1
    assert fitted(make_task(settings)).drift_db is not None
    assert fitted(make_task(settings, batch=6)).drift_db is None


def test_the_state_of_another_refinement_is_refused(make_task):
    fit = FittedPredictorConfig().fit(make_task(FittedTrainingConfig(fit="end_to_end", iterations=2)))
    with pytest.raises(KeyError, match="moments"):
        fit.load_state_dict({"refinement": {"iteration": 1, "weights": [], "best": None}})


def test_a_search_over_histories_with_predictions_fits_true_ones():
    quick = FittedPredictorConfig(records="all").quick(FittedTrainingConfig(fit="true_history"))
    assert isinstance(quick, FittedTrainingConfig)
    assert quick.fit == "true_history"


@pytest.mark.parametrize(("kind", "kept"), [("greedy", 6), ("end_to_end", 6), ("true_history", 0)])
@pytest.mark.parametrize("reads", ["own", "all"])
def test_the_fit_foretells_its_parts_and_its_files(make_task, kind, kept, reads):
    task = make_task(FittedTrainingConfig(fit=kind, iterations=10, target="trajectory"))
    fit = FittedPredictorConfig(reads=reads).fit(task)
    size = fit.size(branches=2)
    *_, last = fit.run()
    assert (size.parts, size.kept) == (last.total, kept)
    assert size.weights == fit.tensors()["weights"].nbytes
    assert bool(size.state) is bool(fit.state_dict())


@pytest.mark.parametrize("tunes", [False, True])
def test_a_fit_foretells_the_bytes_of_its_numbers(make_task, tunes):
    settings = FittedTrainingConfig(fit="end_to_end", iterations=1, held_out=0, tune_computed=tunes)
    fit = FittedPredictorConfig().fit(make_task(settings))
    foretold = fit.size(2).weights
    list(fit.run())
    assert foretold == sum(tensor.nbytes for tensor in fit.tensors().values())


@pytest.mark.parametrize("kind", ["greedy", "true_history", "end_to_end"])
def test_a_fit_is_the_same_whatever_the_default_device_is(make_task, kind):
    task = make_task(FittedTrainingConfig(fit=kind, iterations=2, tune_computed=True))
    here = fitted(task).tensors()
    with torch.device("meta"):
        there = fitted(task).tensors()
    assert {name: torch.equal(there[name], here[name]) for name in here} == dict.fromkeys(here, True)
