"""A predictor that returns something else than a filter, a tuning or a feature is told so, in a run and in a plan."""

from __future__ import annotations

import pytest
import torch

from lesa_framework import AffinePredictor, Filter, HistoryPlace, PluginContractError, Strategy, Tuning
from lesa_framework.artifacts import shifted_grid
from lesa_framework.cli.planned_step import planned_steps
from lesa_framework.runtime.calls.tracking import Position
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from tests.runtime.loop import GRID, drive, engine


class Says(AffinePredictor):
    def __init__(self, **said):
        self.said = {"filter": Filter((1.0,)), "correction": None, "tuning": None} | said

    def filter(self, entries, ctx):
        return self.said["filter"]

    def correction(self, entries, ctx):
        return self.said["correction"]

    def tuning(self, ctx):
        return self.said["tuning"]


def run(predictor):
    loop = engine(predictor)
    drive(loop)
    loop.asking(loop.begin(Position(True, GRID, 0, "a", 0), torch.zeros(1, 2)))


def plan(predictor):
    return planned_steps(Strategy(ComputeSteps((0, 4)), EqualStages(), predictor), shifted_grid(8, 1.0))


@pytest.mark.parametrize("place", [run, plan])
@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"filter": (0.5,)}, r"Says.filter returned \(0.5,\), not a Filter\."),
        ({"filter": None}, r"Says.filter returned None, not a Filter\."),
        ({"filter": Filter(1.0)}, r"Says.filter returned Filter\(weights=1.0, .*Weights .* as in Filter\(\(1.0,\)\)\."),
        ({"correction": Filter(1.0)}, r"Says.correction returned Filter\(weights=1.0, .*\. Weights are one number"),
        ({"filter": Filter(torch.tensor(1.0))}, r"The predictor's filter has weights tensor\(1.\)\. Weights are one "),
        ({"correction": [1.0]}, r"Says.correction returned \[1.0\], not a Filter or None\."),
        ({"tuning": (0.1, 1.0, 0.0)}, r"Says.tuning returned \(0.1, 1.0, 0.0\), not a Tuning or None\."),
    ],
)
def test_what_is_neither_a_filter_nor_a_tuning_is_named(place, said, message):
    with pytest.raises(PluginContractError, match=message):
        place(Says(**said))


def test_a_history_elsewhere_asks_for_filters_ahead():
    loop = engine(Says(filter=(0.5,)), history=HistoryPlace(device=torch.device("cpu")))
    with pytest.raises(PluginContractError, match=r"Says.filter returned \(0.5,\)"):
        drive(loop, range(1))


def test_weights_for_another_branch_are_one_for_each_of_its_entries():
    loop, features = engine(Says(filter=Filter((1.0,), others={"b": 0.5}))), torch.zeros(1, 2)
    for branch in ("a", "b"):
        step = loop.begin(Position(branch == "a", GRID, 0, branch, 0), features)
        loop.end(step, loop.computed(step, features))
    with pytest.raises(PluginContractError, match=r"has weights 0.5 for branch 'b'\. Weights are one number for each"):
        loop.begin(Position(False, GRID, 1, "a", 0), features)


class Forgets(Says):
    """Reads two entries, and does not say in `min_history` that it needs them."""

    depth = 2

    def filter(self, entries, ctx):
        return Filter((2.0, -1.0)) if entries[1].computed else Filter((1.0,))

    def correction(self, entries, ctx):
        return Filter((1.0, 0.0)) if self.said["correction"] and entries[1].computed else None


class ForgetsAFeature(Says):
    def predict(self, history, ctx):
        return history.feature(1)


@pytest.mark.parametrize(
    ("place", "predictor", "message"),
    [
        (run, Forgets(), r"Forgets.filter failed on a history of 1 feature \(IndexError: .*from min_history how many"),
        (plan, Forgets(), r"Forgets.filter failed on a history of 1 feature \(IndexError: .*from min_history how many"),
        (run, Forgets(correction=True), r"Forgets.correction failed on a history of 1 .*read what is there"),
        (plan, Forgets(correction=True), r"Forgets.correction failed on a history of 1 .*read what is there"),
        (run, ForgetsAFeature(), r"ForgetsAFeature.predict failed on a history of 1 .*asked for number 1.*min_history"),
    ],
)
def test_one_that_reads_more_than_is_held_is_named(place, predictor, message):
    with pytest.raises(PluginContractError, match=message) as caught:
        place(predictor)
    assert isinstance(caught.value.__cause__, IndexError)  # where in the predictor


def test_a_history_elsewhere_that_is_too_short_is_named_ahead():
    loop = engine(Forgets(), history=HistoryPlace(device=torch.device("cpu")))
    with pytest.raises(PluginContractError, match=r"Forgets.filter failed on a history of 1 feature"):
        drive(loop, range(1))


def test_weights_without_axes_are_named_ahead():
    loop = engine(Says(filter=Filter(torch.tensor(1.0))), history=HistoryPlace(device=torch.device("cpu")))
    with pytest.raises(PluginContractError, match="Weights are one number for each entry"):
        drive(loop, range(1))


@pytest.mark.parametrize("method", ["predict", "correct"])
def test_a_feature_that_is_no_tensor_is_named(method):
    class Lists(Says):
        pass

    setattr(Lists, method, lambda self, history, ctx, *_: history.feature(0).tolist())
    with pytest.raises(PluginContractError, match=rf"Lists.{method} returned \[\[0.0, 0.0\]\], not a tensor\."):
        drive(engine(Lists()))


def test_what_is_right_stays():
    right = Says(filter=Filter((1.0,)), correction=Filter((1.0,)), tuning=Tuning(shift=0.1))
    run(right)
    computed, predicted = plan(right)[4:6]
    assert (computed.weights, computed.shift) == ({4: 1.0}, 0.1)
    assert (predicted.weights, predicted.shift) == ({4: 1.0}, 0.0)
