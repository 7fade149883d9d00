"""Predictors that correct what the block stack computed."""

from __future__ import annotations

import pytest
import torch

from lesa_framework import (
    AffinePredictor,
    EntryInfo,
    Filter,
    HistoryPlace,
    LesaWarning,
    PluginContractError,
    Predictor,
    Reason,
    Recorder,
    Reuse,
    Strategy,
    Tap,
)
from lesa_framework.runtime.features.history import History
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, attach, even_grid, sample
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.testing.tiny_pipeline import noise
from lesa_framework.training.graph_history import GraphHistory

GRID = even_grid(6)
EVERY_TAP = pytest.mark.parametrize("tap", list(Tap))


class Halved(Reuse):
    """Reuse that halves each computed feature; its reuse is of the feature as it was computed."""

    def correction(self, entries, ctx):
        assert entries[0].step == ctx.index
        assert entries[0].computed
        return Filter((0.5,))


class Same(Reuse):
    def correction(self, entries, ctx):
        return Filter((1.0,))


class Smoothed(AffinePredictor):
    depth = 2

    def filter(self, entries, ctx):
        return Filter((1.0,))

    def correction(self, entries, ctx):
        return Filter((0.75, 0.25)) if len(entries) > 1 else None


class Returns(Reuse):
    def __init__(self, change):
        self.change = change

    def correct(self, history, ctx, feature):
        return self.change(feature)


def call(model, latent, sigma, prompt):
    return model(latent, sigma, noise((1, 3, 4), prompt), return_dict=False)[0]


def run(
    predictor: Predictor,
    tap=Tap.PRE_HEAD,
    computed=(0, 2, 3),
    adapter=TinyDiTAdapter,
    **options,
):
    recorder, model = Recorder(), TinyDiT()
    strategy = Strategy(ComputeSteps(computed), EqualStages(), predictor, **options)
    with attach(model, adapter(), strategy, GRID, tap, (recorder,)) as session:
        outputs = sample(model, call, noise((1, 5, 4), 0), GRID)
    return outputs, recorder, session.report


def assert_equal(found, expected):
    assert [torch.equal(a, b) for a, b in zip(found, expected, strict=True)] == [True] * len(expected)


@EVERY_TAP
def test_a_correction_that_changes_nothing_is_bit_identical(tap):
    assert_equal(run(Same(), tap)[0], run(Reuse(), tap)[0])


@EVERY_TAP
def test_the_head_gets_the_corrected_feature_and_the_history_the_computed_one(tap):
    outputs, recorder, report = run(Halved(), tap, computed=(0,))
    plain, uncorrected, _ = run(Reuse(), tap, computed=(0,))
    computed = uncorrected.features[0]
    assert torch.equal(recorder.features[0], 0.5 * computed)
    assert torch.equal(recorder.features[1], computed)  # reused from the history
    assert not torch.equal(outputs[0], plain[0])
    assert report.plan() == "FPPPPP"
    assert report.fallbacks == {}


def test_at_the_output_the_sampler_gets_the_corrected_one():
    outputs, _, _ = run(Halved(), Tap.OUTPUT, computed=(0,))
    plain, _, _ = run(Reuse(), Tap.OUTPUT, computed=(0,))
    assert torch.equal(outputs[0], 0.5 * plain[0])


@EVERY_TAP
def test_a_correction_may_read_the_history(tap):
    _, recorder, _ = run(Smoothed(), tap, computed=range(2))
    _, plain, _ = run(Reuse(), tap, computed=range(2))
    assert torch.equal(recorder.features[0], plain.features[0])
    assert torch.equal(recorder.features[1], 0.75 * recorder.features[2] + 0.25 * plain.features[0])


@EVERY_TAP
def test_with_the_strict_check_a_correction_that_is_not_finite_is_counted_and_the_computed_feature_used(tap):
    outputs, _, report = run(Returns(lambda feature: feature * float("nan")), tap, check_finite="strict")
    assert_equal(outputs, run(Reuse(), tap)[0])
    assert report.fallbacks == {Reason.NON_FINITE_CORRECTION: 3}
    assert "3x: non-finite correction" in str(report)


@EVERY_TAP
def test_what_is_not_finite_in_a_correction_is_as_it_was_computed(tap):
    def change(feature):
        return (0.5 * feature).index_fill(-1, torch.tensor([0]), float("nan"))

    def kept(feature):
        return torch.cat([feature[..., :1], 0.5 * feature[..., 1:]], -1)

    with pytest.warns(LesaWarning, match="Returns: 5 value.s. at step 0 of 'branch0' were not finite"):
        outputs, _, report = run(Returns(change), tap, range(6))
    assert_equal(outputs, run(Returns(kept), tap, range(6))[0])
    assert report.replaced == {"branch0": dict.fromkeys(range(6), 5)}


@pytest.mark.parametrize("change", [lambda feature: feature[:, :2], lambda feature: feature.double()])
def test_a_correction_of_another_kind_is_refused(change):
    with pytest.raises(PluginContractError, match=r"Returns.correct returned .* must keep the features' \(1, 5, 16\)"):
        run(Returns(change))


def test_an_unverified_layout_is_verified_with_the_corrected_feature():
    class Unverified(TinyDiTAdapter):
        unverified = True

    assert_equal(run(Halved(), adapter=Unverified)[0], run(Halved())[0])


@EVERY_TAP
def test_a_correction_reads_the_very_feature_that_was_computed(tap):
    """Its copy in the history may have lost digits, or its graph."""
    seen = []

    class Looks(Same):
        def correct(self, history, ctx, feature):
            seen.append(history.feature(0) is feature)
            return super().correct(history, ctx, feature)

    place = HistoryPlace(dtype=torch.bfloat16)
    assert_equal(
        run(Looks(), tap, range(6), history=place)[0],
        run(Reuse(), tap, range(6), history=place)[0],
    )
    assert seen == [True] * 6


@pytest.mark.parametrize("kind", [History, GraphHistory])
@pytest.mark.parametrize(
    "chosen", [Filter((0.5,)), Filter((0.5,), 0.25), Filter((0.5, 0.25, 0.125)), Filter((0.0, 1.0))]
)
def test_only_the_older_features_of_a_correction_are_as_they_were_kept(kind, chosen):
    history = kind(3, HistoryPlace(dtype=torch.bfloat16))
    features = [noise((1, 5, 4), step) for step in range(3)]
    for step, feature in enumerate(features):
        history.append(feature, EntryInfo(step, True))
    read = [features[2], *(feature.bfloat16().float() for feature in features[1::-1])]
    with history.showing(features[2]):
        found = history.apply(chosen)
        again = history.apply(Filter(torch.tensor(chosen.weights).view(-1, 1), chosen.bias))
    expected = sum(weight * feature for weight, feature in zip(chosen.weights, read, strict=False)) + chosen.bias
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(again, expected)
    assert torch.equal(history.feature(0), features[2].bfloat16().float())  # afterwards it is as it is kept


@pytest.mark.parametrize("predictor", [Halved(), Same()])
def test_gradients_pass_a_correction(predictor):
    model = TinyDiT()
    strategy = Strategy(ComputeSteps(), EqualStages(), predictor)
    with attach(model, TinyDiTAdapter(), strategy, GRID):
        call(model, noise((1, 5, 4), 0), GRID[0], 0).square().sum().backward()
    # Nothing but the feature depends on the blocks' weights.
    found = [weights.grad for weights in model.transformer_blocks.parameters() if weights.grad is not None]
    assert any(bool(grad.any()) for grad in found)


def test_corrections_keep_their_graph():
    gain = torch.ones((), requires_grad=True)
    model = TinyDiT()
    strategy = Strategy(ComputeSteps(), EqualStages(), Returns(lambda feature: feature * gain))
    with attach(model, TinyDiTAdapter(), strategy, GRID):
        call(model, noise((1, 5, 4), 0), GRID[0], 0).sum().backward()
    assert gain.grad is not None
    assert gain.grad != 0


def test_the_sampler_owns_a_corrected_output():
    class Older(AffinePredictor):
        depth = 2

        def filter(self, entries, ctx):
            return Filter((0.0, 1.0)) if len(entries) > 1 else Filter((1.0,))

        def correction(self, entries, ctx):
            return self.filter(entries, ctx)

    model = TinyDiT()
    strategy = Strategy(ComputeSteps((0, 1)), EqualStages(), Older())
    with attach(model, TinyDiTAdapter(), strategy, GRID, Tap.OUTPUT), torch.no_grad():
        first, second, third = (call(model, noise((1, 5, 4), 0), sigma, 0).add_(0.0) for sigma in GRID[:3])
        assert torch.equal(first, second)
        second.fill_(100.0)
        assert torch.equal(call(model, noise((1, 5, 4), 0), GRID[3], 0), third)
    assert torch.equal(third, first)
