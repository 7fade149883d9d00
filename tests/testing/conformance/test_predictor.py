"""The suite of predictors must find what is wrong: each of these breaks the contract in one way."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

import pytest
import torch

from lesa_framework import (
    AffinePredictor,
    Filter,
    Predictor,
    PredictorConfig,
    RunInfo,
    Tap,
    Tuning,
)
from lesa_framework.testing import check_predictor, even_grid


class GoodConfig(PredictorConfig):
    kind: Literal["good"] = "good"
    gain: float = 1.0

    def build(self) -> Predictor:
        return Affine(self.gain)


class Affine(AffinePredictor):
    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def filter(self, entries, ctx):
        return Filter((self.gain,))


def predictor_of(made: type[Predictor]) -> PredictorConfig:
    class BadConfig(PredictorConfig):
        kind: Literal["bad"] = "bad"

        def build(self) -> Predictor:
            return made()

    return BadConfig()


class TooLong(Affine):
    def filter(self, entries, ctx):
        return Filter((0.5,) * (len(entries) + 1))


class NotFinite(Affine):
    def filter(self, entries, ctx):
        return Filter((float("inf"),))


class Impure(Affine):
    def filter(self, entries, ctx):
        self.gain *= 0.5
        return Filter((self.gain,))


class Greedy(Affine):
    def min_history(self, stage):
        return 2


class NoDepth(Affine):
    depth = 0


class WrongRecords(Affine):
    records = "predicted"


class WrongShape(Predictor):
    def predict(self, history, ctx):
        return history.feature(0)[:1]


class WrongDtype(Predictor):
    def predict(self, history, ctx):
        return history.feature(0).double()


class Writes(Predictor):
    def predict(self, history, ctx):
        return history.feature(0).mul_(0.5)


class Nan(Predictor):
    def predict(self, history, ctx):
        return history.feature(0) * float("nan")


class Random(Predictor):
    def predict(self, history, ctx):
        return history.feature(0) * random.random()


class Stubborn(Predictor):
    """Remembers the first thing it saw."""

    def __init__(self):
        self.first = {}

    def predict(self, history, ctx):
        return self.first.setdefault((ctx.index, history.feature(0).dtype, ctx.entries), history.feature(0).clone())


class WrongCorrection(Affine):
    def correct(self, history, ctx, feature):
        return feature[:1]


class LongCorrection(Affine):
    def correction(self, entries, ctx):
        return Filter((0.5,) * (len(entries) + 1))


class WritesAndKeeps(Affine):
    def correct(self, history, ctx, feature):
        feature.zero_()


class WritesWhenCorrecting(Affine):
    def correct(self, history, ctx, feature):
        return feature.mul_(0.5)


class WritesToLatents(Predictor):
    reads_latents = True

    def predict(self, history, ctx):
        ctx.latent.clamp_(-0.5, 0.5)
        return history.feature(0).clone()


class WritesToOthers(Predictor):
    def predict(self, history, ctx):
        for name, entries in ctx.others.items():
            if entries:
                history.branches[name].feature(0).zero_()
        return history.feature(0).clone()


class WritesToOlderOnes(Affine):
    depth = 2

    def correct(self, history, ctx, feature):
        history.feature(1).copy_(feature)


class LooksAheadAlone(Affine):
    """A table of tunings for computed steps, as a fit makes it."""

    def tuning(self, ctx):
        return Tuning(ahead=0.1) if ctx.index % 10 == 0 and ctx.index else None


class PerChannel(AffinePredictor):
    def __init__(self, channels=6):
        self.gain, self.offset = torch.linspace(0.8, 1.2, channels), torch.linspace(-0.1, 0.1, channels)

    def filter(self, entries, ctx):
        return Filter(self.gain.unsqueeze(0), self.offset)


class Mismatched(PerChannel):
    def filter(self, entries, ctx):
        return Filter(self.gain.unsqueeze(0), self.offset[:5])


class Bent(Predictor):
    """No weighted sum, and a number for each channel."""

    def __init__(self, channels=96, *, says=True):
        self.gain = torch.linspace(0.8, 1.2, channels)
        if says:
            self.channels = channels

    def predict(self, history, ctx):
        feature = history.feature(0)
        return (torch.tanh(self.gain) * feature.float()).to(feature.dtype)


class Moody(Affine):
    def correct(self, history, ctx, feature):
        return feature * random.random()


class NotFiniteForOthers(Affine):
    def filter(self, entries, ctx):
        return Filter((self.gain,), others={name: (float("nan"),) for name, held in ctx.others.items() if held})


class Everything(AffinePredictor):
    """Weights for each channel, the other branch, the latents and a correction."""

    depth, reads_latents = 2, True

    def filter(self, entries, ctx):
        gain = 0.0 if ctx.computed_latent is None else float(ctx.computed_latent.mean())
        weights = torch.linspace(0.5, 1.5, 1).expand(len(entries), 1) + gain
        return Filter(weights, gain, {name: (0.1,) for name, held in ctx.others.items() if held})

    def correction(self, entries, ctx):
        return Filter((0.9, 0.1)) if len(entries) > 1 else None


def test_a_good_predictor_passes():
    check_predictor(GoodConfig(gain=0.9))
    check_predictor(predictor_of(Everything))


@pytest.mark.parametrize("tap", list(Tap))
@pytest.mark.parametrize("channels", [1, 4, 5, 16, 64])
def test_weights_for_each_channel_are_tried_on_as_many(channels, tap):
    made = partial(PerChannel, channels)
    check_predictor(predictor_of(made), run=RunInfo(even_grid(20), "testing", tap))


@pytest.mark.parametrize("tap", list(Tap))
@pytest.mark.parametrize("channels", [4, 5, 96])
def test_a_predictor_that_is_no_filter_says_how_many_channels_it_needs(channels, tap):
    check_predictor(predictor_of(partial(Bent, channels)), run=RunInfo(even_grid(20), "testing", tap))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (TooLong, "2 weights for a history of 1"),
        (NotFinite, "a filter that is not finite"),
        (Impure, "asked again, the filter is another one"),
        (Greedy, "min_history is 2; it must be from 1 to depth, which is 1"),
        (NoDepth, "depth is 0"),
        (WrongRecords, "records is 'predicted'"),
        (WrongShape, "not the features'"),
        (WrongDtype, "dtype torch.float64, not the features'"),
        (Writes, "the predictor wrote to feature 0"),
        (Nan, "the prediction is not finite"),
        (WrongCorrection, "not the features'"),
        (LongCorrection, "correction: 3 weights for a history of 2|correction: 2 weights for a history of 1"),
        (WritesWhenCorrecting, "correct wrote to the computed feature"),
        (WritesAndKeeps, "correct wrote to the computed feature"),
        (WritesToLatents, "the predictor wrote to the latent"),
        (WritesToOthers, "the predictor wrote to feature 0 of the history of 'branch"),
        (WritesToOlderOnes, "correct wrote to feature 1"),
        (LooksAheadAlone, "it asks 0.1 ahead, which counts only if looks_ahead is set"),
        (Mismatched, r"bad, step 1 of 20: .*\(5,\)"),
        (Moody, "asked again, the correction is another one"),
        (NotFiniteForOthers, "a filter that is not finite"),
        (partial(Bent, says=False), r"fails on features of \(2, 3, 4\).* set `channels` on the predictor"),
        (Random, "asked again, the prediction is another one"),
        (Stubborn, "the second run depends on more than itself"),
    ],
)
def test_predictors_that_break_the_contract(made, message):
    with pytest.raises(AssertionError, match=message):
        check_predictor(predictor_of(made))


def test_state_is_noticed_in_any_thread():
    with ThreadPoolExecutor(1) as pool, pytest.raises(AssertionError, match="the second run depends on more than"):
        pool.submit(check_predictor, predictor_of(Stubborn)).result()
