"""The suites must find what is wrong: each of these plugins breaks its contract in one way (backbones: backbone/)."""

from __future__ import annotations

import random
from typing import Literal

import pytest
from torch import nn

from lesa_framework import (
    AffinePredictor,
    ConfigError,
    Decision,
    Filter,
    LoadedMetric,
    Metric,
    Predictor,
    PredictorConfig,
    RouterConfig,
    ScheduleConfig,
    SchedulePolicy,
    StageRouter,
)
from lesa_framework.testing import (
    TinyContextDiT,
    TinyDiT,
    check_metric,
    check_predictor,
    check_router,
    check_schedule,
)
from lesa_framework.testing.conformance.traces import differences, traces


# --------------------------------------------------------------------------------------- predictors
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


def test_a_good_predictor_passes():
    check_predictor(GoodConfig(gain=0.9))


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
        (Random, "asked again, the prediction is another one"),
        (Stubborn, "the second run depends on more than itself"),
    ],
)
def test_predictors_that_break_the_contract(made, message):
    with pytest.raises(AssertionError, match=message):
        check_predictor(predictor_of(made))


# ---------------------------------------------------------------------------- schedules and routers
class Alternating(SchedulePolicy):
    def __init__(self):
        self.calls = 0

    def decide(self, ctx):
        self.calls += 1
        return Decision.COMPUTE if self.calls % 2 else Decision.PREDICT


class Wordy(SchedulePolicy):
    def decide(self, ctx):
        return "yes"


class Never(SchedulePolicy):
    def check(self, num_steps):
        raise ConfigError("no")

    def decide(self, ctx):
        return Decision.COMPUTE


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Alternating, "depends on more than the context"),
        (Wordy, "'yes', which is no Decision"),
        (Never, "refuses every one"),
    ],
)
def test_schedules_that_break_the_contract(made, message):
    class BadConfig(ScheduleConfig):
        kind: Literal["bad"] = "bad"

        def build(self) -> SchedulePolicy:
            return made()

    with pytest.raises(AssertionError, match=message):
        check_schedule(BadConfig())


class OutOfRange(StageRouter):
    num_stages = 2

    def stage(self, sigma):
        return 2 if sigma == 0 else 0


class Drifting(StageRouter):
    num_stages = 1000000

    def __init__(self):
        self.calls = 0

    def stage(self, sigma):
        self.calls += 1
        return self.calls


class NoStages(StageRouter):
    num_stages = 0

    def stage(self, sigma):
        return 0


class Fractional(StageRouter):
    num_stages = 2

    def stage(self, sigma):
        return sigma


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (OutOfRange, "stage 2, valid are 0 to 1"),
        (Drifting, "depends on more than the noise level"),
        (NoStages, "num_stages is 0"),
        (Fractional, "which is no int"),
    ],
)
def test_routers_that_break_the_contract(made, message):
    class BadConfig(RouterConfig):
        kind: Literal["bad"] = "bad"

        def build(self) -> StageRouter:
            return made()

    with pytest.raises(AssertionError, match=message):
        check_router(BadConfig())


# ------------------------------------------------------------------------------------------ metrics
class Darkness(LoadedMetric):
    def score(self, pictures, references, prompts):
        return [
            float(1 - picture.mean()) if prompt else None for picture, prompt in zip(pictures, prompts, strict=True)
        ]


class Tired(Darkness):
    def __init__(self):
        self.calls = 0

    def score(self, pictures, references, prompts):
        self.calls += 1
        return [float(self.calls)] * len(prompts)


class Ranks(Darkness):
    def score(self, pictures, references, prompts):
        return [float(rank) for rank in pictures.mean((1, 2, 3)).argsort().argsort()]


class Brightens(Darkness):
    def score(self, pictures, references, prompts):
        scores = super().score(pictures, references, prompts)
        pictures += 0.1
        return scores


class Tensors(Darkness):
    def measure(self, samples, references, prompts):
        return list(samples.images.flatten(1).mean(1))


class Shortens(Darkness):
    def measure(self, samples, references, prompts):
        return super().measure(samples, references, prompts)[:1]


class NoList(Darkness):
    def measure(self, samples, references, prompts):
        return samples.images.flatten(1).mean(1)


class MovesLatents(Darkness):
    def measure(self, samples, references, prompts):
        references.latents.zero_()
        return super().measure(samples, references, prompts)


def metric_of(made: type[LoadedMetric]) -> Metric:
    class Made(Metric):
        name = "made"
        heading = "made"
        higher_is_better = True
        summary = "For a test."

        def load(self, device):
            return made()

    return Made()


def test_a_good_metric_passes():
    check_metric(metric_of(Darkness))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Tired, "made, pictures: for the same samples it returned"),
        (Ranks, "made, pictures: alone the scores are"),
        (Brightens, "made, pictures: it wrote to the images of the samples"),
        (MovesLatents, "made, pictures: it wrote to the latents of the references"),
        (Tensors, "made, pictures: .* are not floats"),
        (Shortens, "made, pictures: 1 scores for 3"),
        (NoList, "made, pictures: measure returned Tensor, not a list"),
    ],
)
def test_metrics_that_break_the_contract(made, message):
    with pytest.raises(AssertionError, match=message):
        check_metric(metric_of(made))


# ------------------------------------------------------------------------------------------- traces
@pytest.mark.parametrize(
    "leave",
    [
        lambda model: setattr(model, "note", 1),
        lambda model: model.norm_out.register_forward_hook(lambda *_: None),
        lambda model: setattr(model, "forward", model.forward),
        lambda model: setattr(model, "__class__", TinyContextDiT),
        lambda model: setattr(model, "transformer_blocks", nn.ModuleList(model.transformer_blocks)),
        lambda model: model.transformer_blocks.append(nn.Identity()),
        lambda model: setattr(model, "proj_out", nn.Linear(16, 4)),
        lambda model: model.eval(),
    ],
)
def test_traces_are_seen(leave):
    model = TinyDiT()
    before = traces(model)
    assert differences(before, traces(model)) == []
    leave(model)
    assert differences(before, traces(model))
