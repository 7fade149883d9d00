from __future__ import annotations

import math

import pytest

from lesa_framework.types import Choice, Reason
from lesa_framework.ui.words import Figure, account
from tests.ui.samples import CHOICE, sample_outcome, sample_run

_RUN = sample_run({"cond": "FPFP"}, CHOICE)


def test_an_automatic_choice_says_what_and_why() -> None:
    told = account(sample_outcome(_RUN))
    assert told.figures == (
        Figure("1.6x", "faster"),
        Figure("2 of 4", "steps computed"),
        Figure("31.2 dB", "PSNR"),
        Figure("0.988", "SSIM"),
    )
    assert told.chosen == "ref-x (lesa, preset)"
    assert told.why == "Fitted to this model, grid and size."
    assert told.time == "2.50 s instead of 4.00 s uncached: 1.50 s or 38% saved."
    assert told.notes == ()


def test_a_kept_uncached_run_is_said() -> None:
    told = account(sample_outcome(_RUN, was_kept=True))
    assert told.time == "2.50 s instead of 4.00 s uncached, kept from before: 1.50 s or 38% saved."


def test_a_run_that_saves_nothing_does_not_pretend() -> None:
    told = account(sample_outcome(_RUN, seconds=(1.0, 1.25)))
    assert told.figures[0] == Figure("0.8x", "of the speed")
    assert told.time == "1.25 s, and 1.00 s uncached: no time was saved."


def test_more_than_the_steps_can_save_is_marked() -> None:
    told = account(sample_outcome(_RUN, seconds=(4.0, 1.0)))
    assert told.figures[0] == Figure("~4.0x", "faster")
    assert told.time == (
        "1.00 s instead of 4.00 s uncached: 3.00 s or 75% saved. The cache saves at most 2.0x: other programs ran too. "
        "Another seed times both again."
    )
    halves = sample_run({"cond": "FFFF", "uncond": "FPPP"}, CHOICE)  # no step is predicted in both branches
    assert account(sample_outcome(halves, seconds=(4.0, 2.6))).figures[0] == Figure("1.5x", "faster")


@pytest.mark.parametrize("seconds", [(4.0, 1.0), (1.0, 1.0), (1.0, 1.25)])
def test_a_run_without_predictions_gains_nothing_whatever_its_times(seconds: tuple[float, float]) -> None:
    told = account(sample_outcome(sample_run({"cond": "FFFF"}, CHOICE), seconds=seconds))
    assert told.figures[:2] == (Figure("no gain", "in speed"), Figure("4 of 4", "steps computed"))
    before, after = seconds
    assert told.time == f"{after:.2f} s, and {before:.2f} s uncached: nothing was predicted, so no time was saved."


@pytest.mark.parametrize(
    ("method", "chosen", "why"),
    [
        ("preset:ref-y", "ref-y", "You chose this preset. Its steps are its own, so the speed-up is not used."),
        ("even:reuse", "reuse on evenly spread steps", "You chose it, at 2x."),
    ],
)
def test_what_a_visitor_chose(method: str, chosen: str, why: str) -> None:
    told = account(sample_outcome(sample_run({"cond": "FPFP"}), method))
    assert (told.chosen, told.why) == (chosen, why)


def test_a_run_in_which_nothing_can_be_predicted() -> None:
    run = sample_run({"cond": "FFFF"}, Choice("", "", "", "there is nothing to gain", 4, 4))
    warned = ("weights: x.yaml is left out.", "accelerate: there is nothing to gain. Every step is computed.")
    told = account(sample_outcome(run, notes=warned))
    assert (told.chosen, told.why) == ("No cache", "There is nothing to gain. Every step was computed.")
    assert told.notes == ("weights: x.yaml is left out.",)


def test_identical_and_unmeasured_pictures() -> None:
    told = account(sample_outcome(_RUN, scores=(math.inf, 1.0)))
    assert told.figures[2:] == (Figure("identical", "PSNR"), Figure("1.000", "SSIM"))
    assert told.close == "Both are the same, number by number."
    assert account(sample_outcome(_RUN, scores=(None, None))).figures[2:] == (Figure("–", "PSNR"), Figure("–", "SSIM"))


def test_what_was_not_as_planned_is_noted() -> None:
    run = sample_run({"cond": "FFPP"}, CHOICE, Reason.SHAPE)
    told = account(sample_outcome(run, notes=("weights: x.yaml is left out.",)))
    assert told.notes == (
        "weights: x.yaml is left out.",
        "2 steps were computed although they were to be predicted: shape changed.",
    )
