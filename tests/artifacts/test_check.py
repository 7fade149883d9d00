"""Runs that an artifact refuses, warns of, or has nothing to say about."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from lesa_framework import ArtifactError, LesaWarning, ModelInfo, RunInfo, Tap
from lesa_framework.artifacts import ArtifactMetadata, check_run, same_grid
from lesa_framework.testing import even_grid

GRID = even_grid(10)
MODEL = ModelInfo(("Flux", "Base"), (2, 5), 128, "abc", (0.5, -1.0, None))
RUN = RunInfo(GRID, "flux", Tap.PRE_HEAD, (MODEL,), (64, 32), 3.5)


def metadata(**changes: Any) -> ArtifactMetadata:
    plain = {"kind": "lesa", "settings": {}, "sigmas": GRID, "backbone": "flux", "tap": Tap.PRE_HEAD}
    known = {"models": (MODEL,), "latent_shape": (64, 32), "guidance": 3.5}
    return ArtifactMetadata(**{**plain, **known, **changes})


def said(run: RunInfo, made_for: ArtifactMetadata | None = None, **options: Any) -> list[str]:
    """The warnings of a check."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_run(made_for or metadata(), run, **options)
    assert {each.category for each in caught} <= {LesaWarning}
    return [str(each.message) for each in caught]


def model(**changes: Any) -> RunInfo:
    return replace(RUN, models=(replace(MODEL, **changes),))


def unfit(run: RunInfo, made_for: ArtifactMetadata | None = None, **options: Any) -> str:
    with pytest.raises(ArtifactError) as caught:
        check_run(made_for or metadata(), run, **options)
    return str(caught.value)


def test_the_run_that_it_was_made_for():
    check_run(metadata(), RUN)
    rounded = tuple(torch.tensor(GRID).tolist())  # float32's
    check_run(metadata(), RunInfo(rounded, "flux", Tap.PRE_HEAD))


def test_another_backbone():
    message = unfit(RunInfo(GRID, "qwen_image", Tap.PRE_HEAD))
    assert message.startswith("predictor.weights: trained for backbone 'flux', but this model is 'qwen_image'.")
    assert message.endswith("Train weights for it with `lesa train`.")  # and not: try these


def test_another_tap():
    message = unfit(RunInfo(GRID, "flux", Tap.OUTPUT))
    assert "trained at tap 'pre_head', but the run taps 'output'. Set backbone.tap to 'pre_head'" in message


def test_another_step_count():
    message = unfit(RunInfo(even_grid(20), "flux", Tap.PRE_HEAD))
    assert "trained for 10 steps, but the run has 20. Run 10 steps, or train again" in message
    assert "trained for 10 steps" in unfit(RunInfo(even_grid(20), "flux", Tap.PRE_HEAD), any_grid=True)


def test_nobody_is_told_to_train_what_has_no_fit():
    plain, shifted = replace(RUN, models=()), RunInfo(tuple(sigma**2 for sigma in GRID), "flux", Tap.PRE_HEAD)
    untrained = partial(unfit, can_train=False)
    steps = untrained(replace(plain, sigmas=even_grid(20)))
    assert steps == "predictor.weights: trained for 10 steps, but the run has 20. Run 10 steps."
    assert untrained(replace(plain, tap=Tap.OUTPUT)).endswith(" Set backbone.tap to 'pre_head'.")
    assert untrained(shifted).endswith(" Use the scheduler settings of the training.")
    assert untrained(shifted, remedy="set a=true").endswith("settings of the training, or set a=true.")
    assert untrained(replace(plain, backbone="qwen_image")).endswith(" Import weights for it.")
    narrower = untrained(model(width=64))
    assert narrower.endswith(" Import weights for it, or try these with predictor.strict=false.")
    (warning,) = said(replace(RUN, guidance=5.0), can_train=False)
    assert warning.endswith(" Compare results with uncached ones; predictor.strict=false silences this.")


def test_what_was_imported_and_has_a_fit_can_be_trained_again():
    """A checkpoint of LESA is usually its user's own."""
    imported = metadata(training={"imported_from": "checkpoint.pt"})
    assert unfit(replace(RUN, sigmas=even_grid(20)), imported) == unfit(replace(RUN, sigmas=even_grid(20)))
    assert unfit(replace(RUN, tap=Tap.OUTPUT), imported).endswith(", or train again.")
    assert "Train weights for it with `lesa train`" in unfit(model(width=64), imported)


def test_another_grid():
    shifted = RunInfo(tuple(sigma**2 for sigma in GRID), "flux", Tap.PRE_HEAD)
    message = unfit(shifted)
    assert "another sigma grid of 10 steps (noise levels differ by up to 0.250)" in message
    assert message.endswith("Use the scheduler settings of the training, or train again.")
    assert unfit(shifted, remedy="set a=true").endswith("settings of the training, set a=true, or train again.")
    check_run(metadata(), shifted, any_grid=True)


def test_the_same_grid():
    assert same_grid(GRID, tuple(sigma + 5e-5 for sigma in GRID))
    assert not same_grid(GRID, tuple(sigma + 2e-4 for sigma in GRID))
    assert not same_grid(GRID, GRID[:-1])


# ------------------------------------------------------------------------------------- models that cannot be right
WRONG = {
    "class": {"classes": ("Other", "Base")},
    "depth": {"blocks": (2, 4)},
    "lists": {"blocks": (2,)},
    "width": {"width": 64},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_another_model_is_refused(changes):
    message = unfit(model(**changes))
    assert message.startswith("predictor.weights: trained on Flux, 128 wide, with 2+5 blocks, but this model is ")
    assert "Train weights for it with `lesa train`, or try these with predictor.strict=false." in message


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_another_model_is_warned_of_when_not_strict(changes):
    made_for = metadata()
    (warning,) = said(model(**changes), made_for, strict=False)
    assert "trained on Flux, 128 wide, with 2+5 blocks, but this model is" in warning
    assert "strict" not in warning
    assert said(model(**changes), made_for, strict=False) == []


def test_another_backbone_is_warned_of_when_not_strict():
    (warning,) = said(replace(RUN, backbone="mine"), strict=False)
    assert "trained for backbone 'flux', but this model is 'mine'" in warning


@pytest.mark.parametrize("run", [replace(RUN, tap=Tap.OUTPUT), replace(RUN, sigmas=even_grid(20))])
def test_what_could_not_work_is_refused_even_when_not_strict(run):
    unfit(run, strict=False)


@pytest.mark.parametrize("classes", [("Sharded", "Flux", "Base"), ("Flux",)])
def test_a_class_that_derives_from_the_models_is_that_model(classes):
    assert said(model(classes=classes)) == []
    assert said(RUN, metadata(models=(replace(MODEL, classes=classes),))) == []


# --------------------------------------------------------------------------------------- what may not be right
DOUBTS = {
    "weights": (model(sample=(0.5, -1.1, 3.0)), "trained on a Flux with other weights than this one's"),
    "lora": (model(names="more"), "trained on a Flux with other weights"),
    "exchanged layers": (model(names="more", width=16), "trained on a Flux with other weights"),
    "resolution": (replace(RUN, latent_shape=(256, 32)), "trained on model inputs of (64, 32); this run's are (256,"),
    "guidance": (replace(RUN, guidance=1.0), "trained with guidance 3.5, as the model is given it; this run has 1.0"),
    "two models": (replace(RUN, models=(MODEL, MODEL)), "trained on a pipeline with 1 transformer(s); this one has 2"),
}


@pytest.mark.parametrize("call", [7, "height", ["height"], None])
def test_a_call_that_is_none_says_nothing_of_the_size(call):
    (warning,) = said(replace(RUN, latent_shape=(256, 32)), metadata(training={"call": call}))
    assert "another resolution or length." in warning


@pytest.mark.parametrize(("run", "words"), DOUBTS.values(), ids=DOUBTS)
def test_a_doubt_is_told_once(run, words):
    made_for = metadata()
    (warning,) = said(run, made_for)
    assert warning.startswith(f"predictor.weights: {words}")
    assert warning.endswith("or train again; predictor.strict=false silences this.")
    assert said(run, made_for) == said(RUN, made_for) == []
    assert said(run, metadata()) == [warning]  # for weights that are loaded again, again


@pytest.mark.parametrize(("run", "words"), DOUBTS.values(), ids=DOUBTS)
def test_doubts_are_silent_when_not_strict(run, words):
    assert said(run, strict=False) == []


def test_every_doubt_is_told():
    assert len(said(replace(model(sample=(9.0, 9.0, 9.0)), latent_shape=(1,), guidance=9.0))) == 3


SILENT = {
    "the same": RUN,
    "rounded": model(sample=(0.501, -0.998, None)),
    "packed": model(sample=(None, None, 7.0), width=None),
    "nothing known": RunInfo(GRID, "flux", Tap.PRE_HEAD),
    "guidance in bfloat16": replace(RUN, guidance=3.52),
}


@pytest.mark.parametrize("run", SILENT.values(), ids=SILENT)
def test_nothing_is_said(run):
    assert said(run) == []


def test_an_artifact_that_knows_no_model_says_nothing():
    unknown = metadata(models=(), latent_shape=None, guidance=None)
    assert [said(run, unknown) for run, _ in DOUBTS.values()] == [[]] * len(DOUBTS)
