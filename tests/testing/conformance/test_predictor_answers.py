"""The suite of predictors names what a method returns in place of what it should, and what fails in a plan."""

from __future__ import annotations

from functools import partial

import pytest

from lesa_framework import Filter, Tuning
from lesa_framework.testing import check_predictor
from tests.testing.conformance.test_predictor import Affine, predictor_of


class Says(Affine):
    """Says in one of its methods what it should not."""

    def __init__(self, method, value):
        super().__init__()
        setattr(self, method, lambda *_: value)


class Peeks(Affine):
    """Reads latents without asking whether there are any, in one of its methods."""

    depth, reads_latents = 2, True

    def __init__(self, method):
        super().__init__()
        setattr(self, method, getattr(self, f"peeking_{method}"))

    def peeking_filter(self, entries, ctx):
        return Filter((float(ctx.latent.mean()),))

    def peeking_correction(self, entries, ctx):
        return Filter((1.0 + 0.0 * float(ctx.latent.mean()),))

    def peeking_tuning(self, ctx):
        return Tuning(shift=1e-3 * float(ctx.computed_latent))


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("filter", (0.5,), r"bad, step 1 of 20: Says.filter returned \(0.5,\), not a Filter\."),
        ("filter", None, "bad, step 1 of 20: Says.filter returned None, not a Filter"),
        ("correction", (0.5,), "bad, step 0 of 20: Says.correction returned .*, not a Filter or None"),
        ("tuning", (0.1, 1, 0), "bad, step 0 of 20: Says.tuning returned .*, not a Tuning or None"),
        ("predict", [0.5], r"prediction is \[0.5\], not a tensor"),
        ("correct", [0.5], r"correction is \[0.5\], not a tensor"),
    ],
)
def test_what_is_of_a_wrong_type_is_named(method, value, message):
    with pytest.raises(AssertionError, match=message):
        check_predictor(predictor_of(partial(Says, method, value)))


@pytest.mark.parametrize(("method", "step"), [("filter", 1), ("correction", 0), ("tuning", 0)])
def test_a_predictor_answers_without_latents(method, step):
    message = rf"bad, step {step} of 20: Peeks fails in a plan \((Type|Attribute)Error: .*None.*\)\. .* None there\."
    with pytest.raises(AssertionError, match=message):
        check_predictor(predictor_of(partial(Peeks, method)))


class Insists(Affine):
    """Says nothing of why it fails."""

    reads_latents = True

    def filter(self, entries, ctx):
        if ctx.latent is None:
            raise AssertionError
        return Filter((1.0,))


def test_a_failure_without_a_message_is_named_too():
    with pytest.raises(AssertionError, match=r"bad, step 1 of 20: Insists fails in a plan \(AssertionError\)\. `ctx"):
        check_predictor(predictor_of(Insists))


class Unfinished(Affine):
    def predict(self, history, ctx):
        raise NotImplementedError("later")


def test_what_is_not_written_yet_is_not_blamed_on_the_features():
    with pytest.raises(NotImplementedError, match=r"^later$"):
        check_predictor(predictor_of(Unfinished))
