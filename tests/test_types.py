from __future__ import annotations

import dataclasses

import pytest

from lesa_framework import Decision, EntryInfo, Filter, Reason, RunInfo, RunReport, StepContext, StepRecord, Tap
from lesa_framework.report import FALLBACKS, plan_string

INFO = RunInfo((1.0, 0.5, 0.0), "flux", Tap.PRE_HEAD)


def record(
    index: int, branch: str, decision: Decision = Decision.COMPUTE, reason: Reason = Reason.SCHEDULE
) -> StepRecord:
    return StepRecord(index, branch, 0, decision, reason)


def report(*records: StepRecord) -> RunReport:
    return RunReport(INFO, records, 2**20, 1.5)


def test_a_step_counts_once_for_all_branches():
    made = report(record(0, "cond"), record(0, "uncond"), record(1, "cond", Decision.PREDICT), record(1, "uncond"))
    assert (made.num_steps, made.nfe, made.branches) == (2, 2, ("cond", "uncond"))
    assert (made.plan(), made.plan("uncond")) == ("FP", "FF")


def test_steps_on_no_grid_count_too():
    made = report(*[record(-1, name, reason=Reason.UNKNOWN_STEP) for name in ("a", "b") * 3], record(0, "a"))
    assert (made.num_steps, made.nfe) == (4, 4)
    assert made.fallbacks == {Reason.UNKNOWN_STEP: 6}


def test_only_what_was_not_as_assumed_is_a_fallback():
    lost = {Reason.UNKNOWN_STEP, Reason.REPEATED_STEP}
    assert {Reason.SHAPE, *lost, Reason.NON_FINITE, Reason.NON_FINITE_CORRECTION} == FALLBACKS
    assert report(record(0, "a", reason=Reason.HISTORY)).fallbacks == {}


def test_the_peak_of_a_device_is_told_where_there_is_one():
    made = dataclasses.replace(report(record(0, "a")), peak_bytes=3 * 2**29)
    assert "peak: 1.50 GiB on the device" in str(made)
    assert "peak" not in str(report(record(0, "a")))


def test_a_report_for_people():
    text = str(report(record(0, "a"), record(1, "a", Decision.PREDICT), record(2, "a", reason=Reason.SHAPE)))
    assert text.splitlines() == [
        "3 steps, 2 computed (1.50x), 1.50 s, 1.00 MiB of history, flux at pre_head",
        "  a: FPF",
        "  fell back to computing 1x: shape changed",
    ]


def test_the_branches_of_a_report_are_aligned_step_by_step():
    predicted = Decision.PREDICT
    made = report(
        record(4, "cond"), record(4, "uncond"), record(5, "cond", predicted), record(6, "cond", predicted),
        record(6, "uncond"), record(7, "cond (transformer_2)"), record(8, "cond (transformer_2)", predicted),
    )  # fmt: skip
    assert str(made).splitlines()[1:4] == [
        "  cond:                 FPP..",
        "  uncond:               F.F..",
        "  cond (transformer_2): ...FP",
    ]
    assert (made.plan("cond"), made.plan("cond (transformer_2)")) == ("FPP", "FP")


def test_a_report_counts_the_steps_that_late_branches_alone_computed():
    short, missed = Reason.HISTORY, Reason.MISSED
    whole = [record(0, "a"), record(1, "a", reason=short), record(2, "a", Decision.PREDICT)]
    assert "besides" not in str(report(*whole))
    assert "besides" not in str(report(*whole[:2], record(1, "b", reason=short))), "a computes it too"
    made = report(*whole, record(2, "b", reason=short), record(3, "a", Decision.PREDICT), record(3, "b", reason=missed))
    assert str(made).splitlines()[3:] == [
        "  computed besides the schedule: 2 of 4 steps, where a branch begins late, or missed a computed step"
    ]
    together = record(2, "a", reason=Reason.BATCH)
    assert "besides the schedule: 1 of 3 steps" in str(report(*whole[:2], together, record(2, "b", reason=short)))


def test_calls_that_are_on_no_step_have_places_of_their_own_in_a_report():
    lost = [record(-1, name, reason=Reason.UNKNOWN_STEP) for name in ("a", "b", "a")]
    made = report(record(0, "a"), record(0, "b"), *lost, record(1, "a", Decision.PREDICT), record(1, "b"))
    assert made.lines == {"a": "FFFP", "b": "FF.F"}
    assert all(len(line) == made.num_steps for line in made.lines.values())


def test_a_report_without_a_prediction_says_where_the_history_was_too_short():
    run = [record(0, "a"), *(record(step, branch, reason=Reason.HISTORY) for step in (1, 2) for branch in "ab")]
    assert str(report(*run)).splitlines()[-1] == "  nothing was predicted: the history was too short at 2 of 3 steps"
    assert "too short" not in str(report(*run, record(3, "a", Decision.PREDICT)))
    assert "too short" not in str(report(record(0, "a")))


def test_a_report_says_what_to_do_about_unknown_steps():
    text = str(report(*[record(-1, "a", reason=Reason.UNKNOWN_STEP) for _ in range(20)]))
    assert text.splitlines()[-1] == (
        "  fell back to computing 20x: unknown step (the model was called at noise levels that are not on the grid, "
        "which goes from 1 to 0: see `sigmas`, `backbone.sigma`, or the adapter's `timestep_scale`)"
    )


def test_a_plan():
    assert plan_string([Decision.COMPUTE, Decision.PREDICT]) == "FP"


def test_a_context():
    ctx = StepContext(1, (1.0, 0.5, 0.0))
    assert (ctx.num_steps, ctx.sigma) == (2, 0.5)


@pytest.mark.parametrize(
    "value", [INFO, record(0, "a"), report(), EntryInfo(0, True), Filter((1.0,)), StepContext(0, (1.0, 0.0))], ids=repr
)
def test_values_are_frozen(value):
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)
