"""What is done about predictions that are not finite, without waiting for the device."""

from __future__ import annotations

import math
from contextlib import nullcontext

import pytest
import torch

from lesa_framework import EntryInfo, LesaWarning, Predictor, Reason, Recorder, Reuse
from lesa_framework.runtime.calls.tracking import Position
from lesa_framework.runtime.features import finite
from lesa_framework.runtime.features.finite import Finite
from lesa_framework.runtime.features.history import newest_computed
from tests.runtime.loop import GRID, drive, engine

WARNS = r"Broken: 1 value\(s\) at step 1 of 'a' were not finite"


class Broken(Predictor):
    """Holds a tenth more than the newest feature, but for one value at some steps."""

    def __init__(self, bad: float = math.nan, steps=range(8), records="computed") -> None:
        self.bad, self.steps, self.records = bad, steps, records

    def predict(self, history, ctx):
        prediction = history.feature(0) + 0.1
        if ctx.index in self.steps:
            prediction[0, 1] = self.bad
        return prediction


def tenths(features) -> list[list[float]]:
    return [[round(value, 1) for value in feature[0].tolist()] for feature in features]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_those_of_the_newest_computed_feature(bad):
    loop = engine(Broken(bad, steps=(1, 6)))
    with pytest.warns(LesaWarning, match=WARNS) as told:
        used = drive(loop)
    assert len(told) == 1
    assert tenths(used) == [[0, 0], [0.1, 0], [2, 2], [2.1, 2.1], [4, 4], [4.1, 4.1], [4.1, 4], [7, 7]]
    report = loop.report
    assert report.plan() == "FPFPFPPF"  # the step after a bad one is computed
    assert report.fallbacks == {Reason.NON_FINITE: 2}
    assert report.replaced == {"a": {1: 1, 6: 1}}
    assert "2 values of a at steps 1, 6" in str(report)
    loop.close()
    assert loop.report == report


def test_a_step_that_is_computed_anyway_is_enough():
    loop = engine(Broken(steps=(3,)))
    with pytest.warns(LesaWarning):
        drive(loop)
    assert loop.report.plan() == "FPPPFPPP"
    assert not loop.report.fallbacks


def test_only_the_branch_itself_computes_its_next_step():
    class One(Broken):
        def predict(self, history, ctx):
            return super().predict(history, ctx) if ctx.branch == "a" else history.feature(0)

    loop = engine(One(steps=(1,)))
    for step in range(4):
        with pytest.warns(LesaWarning) if step == 2 else nullcontext():
            drive(loop, [step], branch="a", first=step == 0)
        drive(loop, [step], branch="b", first=False)
    assert [loop.report.plan(branch) for branch in ("a", "b")] == ["FPFP", "FPPP"]


def test_predictions_that_are_kept_are_not_mistaken_for_computed_features():
    loop = engine(Broken(steps=(2,), records="all"), computed=(0,))
    with pytest.warns(LesaWarning, match="at step 2"):
        used = drive(loop, range(4))
    assert tenths(used) == [[0, 0], [0.1, 0.1], [0.2, 0.1], [3, 3]]  # depth 1: no computed feature is left


def test_the_newest_computed_feature():
    entries = [EntryInfo(2, False), EntryInfo(1, False), EntryInfo(0, True)]
    assert newest_computed(entries) == 2
    assert newest_computed(entries[:2]) == 0


def test_what_is_found_in_the_last_step_is_told_when_the_run_ends():
    heard = []

    class Watch(Recorder):
        def lesa_run_end(self, report):
            heard.append(report.replaced)

    loop = engine(Broken(steps=(7,)))
    loop.observers = (Watch(),)
    drive(loop)
    with pytest.warns(LesaWarning, match="at step 7"):
        loop.close()
    loop.close()
    assert heard == [{"a": {7: 1}}]


class Overflows(Predictor):
    """Doubles the newest feature; the run's computed ones are NaN in one value from step 4 on."""

    def predict(self, history, ctx):
        return 2 * history.feature(0)


MODEL_WARNS = (
    r"^The model's own feature at step 4 of 'a' is not finite, and neither are 1 value\(s\) that Overflows made"
)


def run_overflowing(check, predictor=None, first=4, last=8):
    """A run to its end, whose model computes NaN from a step on."""
    loop = engine(predictor or Overflows(), check_finite=check)
    for step in range(last):
        work = loop.begin(Position(step == 0, GRID, step, "a", 0), torch.zeros(1, 2))
        used = work.prediction
        if used is None:
            feature = torch.full((1, 2), float(step))
            feature[0, 1] = math.nan if step >= first else 1.0
            used = loop.computed(work, feature)
        loop.end(work, used)
    loop.close()
    return loop


@pytest.mark.parametrize(("check", "plan"), [(True, "FPPPFPFP"), ("strict", "FPPPFFFF")])
def test_a_computed_feature_that_is_not_finite_itself_is_named(check, plan):
    with pytest.warns(LesaWarning, match=MODEL_WARNS) as told:
        loop = run_overflowing(check)
    assert len(told) == 1
    report = loop.report
    assert report.plan() == plan
    assert report.replaced == {}, "nothing was repaired"
    steps = (4, 6) if check is True else (4, 5, 6)
    assert report.not_finite == {"a": steps}
    text = str(report)
    assert f"not finite as the model itself computed it: a at steps {', '.join(map(str, steps))}" in text
    assert "replaced" not in text


def test_a_computed_feature_is_named_although_only_the_last_step_was_made_of_it():
    with pytest.warns(LesaWarning, match=MODEL_WARNS):
        loop = run_overflowing(True, first=4, last=6)
    assert loop.report.not_finite == {"a": (4,)}


def test_both_are_told_of_where_values_were_replaced_before():
    class Both(Overflows):
        def predict(self, history, ctx):
            made = super().predict(history, ctx)
            made[0, 0] = math.nan
            return made

    with pytest.warns(LesaWarning) as told:
        loop = run_overflowing(True, Both())
    texts = [str(each.message) for each in told]
    assert [text.split(":")[0].split(" is not")[0] for text in texts] == [
        "Both",
        "The model's own feature at step 4 of 'a'",
    ]
    report = loop.report
    assert report.replaced == {"a": {1: 1, 3: 1, 5: 1, 7: 1}}
    assert report.not_finite == {"a": (4, 6)}


@pytest.mark.parametrize("check", [True, "strict"])
def test_a_correction_of_a_feature_that_is_not_finite_names_the_feature(check):
    class Corrects(Overflows):
        def correct(self, history, ctx, feature):
            return 0.5 * feature

    with pytest.warns(LesaWarning, match=r"own feature at step 0 of 'a' .* Corrects made of it at step 0"):
        loop = run_overflowing(check, Corrects(), first=0, last=1)
    assert loop.report.not_finite == {"a": (0,)}


def test_reuse_looks_for_nothing():
    """It adds nothing up; the guarantees say so."""
    loop = run_overflowing(True, Reuse())
    assert loop.report.plan() == "FPPPFPPP"
    assert (loop.report.replaced, loop.report.not_finite) == ({}, {})


def test_the_check_can_be_switched_off():
    loop = engine(Broken(), check_finite=False)
    assert all(math.isnan(feature[0, 1]) for feature in drive(loop)[1:4])
    assert loop.report.plan() == "FPPPFPPP"
    assert not loop.report.replaced


def test_gradients_pass_by_what_was_replaced():
    def predict(weight):
        return weight * torch.tensor([[1.0, 2.0, 3e38]])

    weight = torch.tensor(10.0, requires_grad=True)
    check = Finite(predictor="Broken")
    clean = check.cleaned(predict(weight), lambda: torch.zeros(1, 3), "a", 1)
    assert clean.tolist() == [[10, 20, 0]]
    clean.sum().backward()
    assert weight.grad == 3
    assert check.replaced() == {("a", 1): 1}


# ------------------------------------------------------------------------------------- devices that work on their own
class Slow:
    """A number of a device that gets to it when the test says so."""

    done = False
    reads = 0

    def __init__(self, number):
        self.number = number

    def known(self):
        return finite.found_in(self.number) if Slow.done else None

    def read(self):
        Slow.reads += 1
        return finite.found_in(self.number)


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setitem(finite._NUMBERS, "cpu", Slow)
    monkeypatch.setattr(Slow, "done", False)
    monkeypatch.setattr(Slow, "reads", 0)
    return Slow


def test_nobody_waits_for_a_device_and_the_step_after_it_is_known_is_computed(slow):
    loop = engine(Broken(steps=(1, 2)), computed=(0,))
    drive(loop, range(4))
    slow.done = True
    with pytest.warns(LesaWarning, match=WARNS):
        drive(loop, range(4, 8), first=False)
    assert slow.reads == 0
    report = loop.report
    assert report.plan() == "FPPPFPPP"
    assert report.replaced == {"a": {1: 1, 2: 1}}
    assert slow.reads > 0


def test_a_device_that_cannot_be_asked_tells_when_the_run_ends(monkeypatch):
    monkeypatch.delitem(finite._NUMBERS, "cpu")
    loop = engine(Broken(steps=(1,)))
    drive(loop)
    assert loop.report.plan() == "FPPPFPPP"
    with pytest.warns(LesaWarning, match=WARNS):
        loop.close()
    assert loop.report.replaced == {"a": {1: 1}}


def test_finite_predictions_are_not_told_of_on_such_devices(slow):
    loop = engine(Broken(steps=()))
    drive(loop)
    loop.close()
    assert not loop.report.replaced


def test_processes_that_work_together_do_not_decide_by_it():
    loop = engine(Broken(steps=(1,)))
    loop.agree = lambda compute: pytest.fail("nothing to agree on")
    drive(loop)
    assert loop.report.plan() == "FPPPFPPP"
    with pytest.warns(LesaWarning, match=WARNS):
        loop.close()


def test_a_count_is_on_the_cpu_whatever_the_default_is():
    check = Finite()
    with torch.device("meta"):
        check.note(3, "a", 1)
    assert check.replaced() == {("a", 1): 3}
