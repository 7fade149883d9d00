from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lesa_framework import LesaWarning, Strategy, Tap
from lesa_framework.testing import TinyDiT, even_grid
from tests.automatic.shelves import chooser, run_of, weights


def names(*shelf, run=None, **options):
    return chooser(*shelf, **options).for_run(run or run_of()).choice.name


def refusal(*shelf, run, **options):
    choice = chooser(*shelf, **options).for_run(run).choice
    assert (choice.name, choice.kind, choice.source) == ("taylorseer", "taylorseer", "no weights")
    return choice.reason.removeprefix("no weights fit: ")


# ------------------------------------------------------------------------------------------- what is taken
def test_weights_that_fit():
    choice = chooser(weights()).for_run(run_of()).choice
    assert (choice.name, choice.kind, choice.source, choice.nfe, choice.num_steps) == ("mine", "hold", "preset", 3, 12)
    assert str(choice) == "mine (hold, preset), 3 of 12 steps computed: fitted to this model, grid and size"


def test_weights_for_a_run_that_begins_later():
    source = chooser(weights())
    late = source.for_run(run_of(begin=5)).choice
    assert late.reason == ("fitted to this model, grid and size; whole runs were fitted, and this one begins at step 5")
    assert (late.nfe, late.num_steps) == (2, 7)  # its first one, because nothing is held yet, and step 8
    assert source.for_run(run_of()).choice.reason == "fitted to this model, grid and size"
    elsewhere = chooser(weights(carries_over=True), speedup=8).for_run(run_of(num_steps=24, begin=5)).choice
    assert elsewhere.reason.endswith("not in this run; whole runs were fitted, and this one begins at step 5")


def test_a_run_that_begins_later_where_no_weights_fit():
    choice = chooser().for_run(run_of(begin=5)).choice
    assert (choice.nfe, choice.num_steps) == (2, 7)
    with pytest.warns(LesaWarning, match="nothing to gain in a run of 4 steps"):
        nothing = chooser().for_run(run_of(num_steps=4, begin=1)).choice
    assert (nothing.nfe, nothing.num_steps) == (3, 3)


def test_the_closest_of_those_that_fit():
    far, near, unknown = weights("far", drift_db=10), weights("near", drift_db=20), weights("unknown", drift_db=None)
    assert names(unknown, far, near) == "near"
    assert names(unknown, far) == "far"
    assert names(unknown) == "unknown"


def test_those_of_the_user_before_any_other():
    assert names(weights("shipped", drift_db=30), weights("own", drift_db=10, source="folder")) == "own"


def test_the_best_kind_where_nothing_tells_them_apart(monkeypatch):
    monkeypatch.setattr("lesa_framework.automatic.chooser._KINDS", ("hold",))
    other = weights("a")
    object.__setattr__(other.config, "predictor", other.config.predictor.model_copy(update={"kind": "other"}))
    assert names(other, weights("b")) == "b"


def test_the_same_run_gets_the_same_strategy():
    source = chooser(weights())
    assert source.for_run(run_of()) is source.for_run(run_of())
    assert source.for_run(run_of()) is not source.for_run(run_of(num_steps=20))


def test_few_runs_are_remembered():
    source = chooser()
    first = source.for_run(run_of())
    for size in range(10, 42):
        source.for_run(run_of(latent_shape=(size, 4)))
    assert len(source._chosen) == 32
    assert source.for_run(run_of()) is not first


def test_what_is_unknown_of_the_call_is_not_compared():
    assert names(weights(run=run_of(latent_shape=None)), run=run_of(guidance=3.0)) == "mine"


# --------------------------------------------------------------------------------------- what is not taken
def test_without_weights():
    choice = chooser().for_run(run_of()).choice
    assert str(choice) == (
        "taylorseer (no weights), 3 of 12 steps computed: no weights fit: none for this model were found"
    )


def test_a_fine_tune():
    model = TinyDiT()
    with torch.no_grad():
        model.proj_out.weight.add_(0.01)
    assert refusal(weights(), run=run_of(model)).startswith("mine was fitted to other weights of this architecture")


def test_a_model_whose_weights_cannot_be_read():
    run = run_of()
    hidden = replace(run.models[0], sample=(None,) * len(run.models[0].sample))
    assert "too many of this model's weights cannot be read" in refusal(weights(), run=replace(run, models=(hidden,)))
    assert names(weights(), run=run) == "mine"


def test_another_model():
    none = "none for this model were found"
    assert refusal(weights(), run=run_of(TinyDiT(width=32))) == none
    assert refusal(weights(), run=run_of(backbone="other")) == none
    assert refusal(weights(), run=run_of(models=run_of().models * 2)) == none
    assert refusal(weights(run=run_of(models=())), run=run_of(models=())) == none


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tap": Tap.OUTPUT}, "mine was fitted at the tap pre_head, and this session taps output"),
        ({"latent_shape": (8, 4)}, "mine was fitted to inputs of (6, 4), and these are (8, 4)"),
        ({"guidance": 5.0}, "mine was fitted with guidance 3.5, and this is 5"),
        ({"num_steps": 20}, "mine was fitted on 12 steps, and this run has 20 steps"),
    ],
)
def test_another_call(changes, words):
    assert refusal(weights(run=run_of(guidance=3.5)), run=run_of(**{"guidance": 3.5, **changes})) == words


def test_another_budget():
    assert refusal(weights(), run=run_of(), speedup=3) == "mine computes 3 steps, and 3x of 12 steps is 4"
    assert refusal(weights(compute=range(6)), run=run_of()) == "mine computes 6 steps, and 4x of 12 steps is 3"


def test_the_nearest_is_named():
    shelf = weights("size", run_of(latent_shape=(1, 4))), weights("grid", run_of(num_steps=20))
    assert refusal(*shelf, run=run_of()).startswith("grid was fitted on 20 steps")


def test_weights_that_are_broken():
    assert refusal(weights(compute=(0, 4, 40)), run=run_of()).startswith(
        "mine cannot be used: schedule.compute: step 40 does not exist"
    )


# ------------------------------------------------------------------------------------------- another grid
def test_weights_that_carry_over_are_taken_at_the_same_noise_levels():
    found = chooser(weights(carries_over=True), speedup=8).for_run(run_of(num_steps=24))
    assert (found.choice.name, found.choice.nfe) == ("mine", 3)
    assert found.choice.reason == "fitted to this model on 12 steps; its quality was measured there, not in this run"
    assert found.schedule.steps(even_grid(24)) == {0, 8, 16}


def test_a_shifted_grid():
    levels = tuple(3 * level / (1 + 2 * level) for level in even_grid(12))
    found = chooser(weights(carries_over=True)).for_run(run_of(sigmas=levels))
    assert "fitted to this model on another grid" in found.choice.reason
    # The levels 1, 2/3 and 1/3 are now at steps 0, 7 or 8, and 10.
    assert sorted(found.schedule.steps(levels)) == [0, 7, 10]


def test_weights_for_the_very_grid_come_first():
    carried, exact = weights("a", run_of(num_steps=24), carries_over=True, drift_db=30), weights("b", drift_db=10)
    assert names(carried, exact) == "b"


# ------------------------------------------------------------------------------------------ nothing to gain
def test_a_run_of_few_steps_is_computed_and_that_is_said_once():
    source = chooser(weights())
    with pytest.warns(LesaWarning, match=r"^accelerate: there is nothing to gain in a run of 4 steps: .* computed\.$"):
        found = source.for_run(run_of(num_steps=4))
    assert str(found.choice).startswith("nothing: there is nothing to gain in a run of 4 steps")
    assert source.for_run(run_of(num_steps=3)).choice.kind == ""


def test_a_history_that_takes_nearly_all_steps(monkeypatch):
    source = chooser()
    monkeypatch.setattr(Strategy, "nfe", lambda strategy, sigmas: 11)
    with pytest.warns(LesaWarning, match="11 of them would be computed"):
        assert source.for_run(run_of()).choice.kind == ""


def test_a_run_without_a_grid():
    choice = chooser(weights()).for_run(run_of(sigmas=())).choice
    assert (choice.kind, choice.num_steps) == ("", 0)
    assert "noise levels of its calls are unknown" in choice.reason


# ----------------------------------------------------------------------------------------------------- taps
def test_features_are_taken_where_the_best_weights_want_them():
    models, taps = run_of().models, tuple(Tap)
    best, other = weights("best", run_of(tap=Tap.OUTPUT), drift_db=30), weights("other", drift_db=10)
    assert chooser(other, best).tap("tiny", models, taps) is Tap.OUTPUT
    assert chooser(other, best).tap("tiny", models, (Tap.PRE_HEAD,)) is Tap.PRE_HEAD
    assert chooser(best, speedup=2).tap("tiny", models, taps) is Tap.PRE_HEAD
    assert chooser(best).tap("other", models, taps) is Tap.PRE_HEAD
    assert chooser().tap("tiny", models, (Tap.POST_NORM, Tap.OUTPUT)) is Tap.POST_NORM
