"""What the engine tells of a run: its time, what is fixed in it, and what its history holds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lesa_framework import Decision, Reason, Reuse, RunInfo, SchedulePolicy, Strategy, Tap
from lesa_framework.runtime.calls.tracking import Located, Position
from lesa_framework.runtime.engine import Engine
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.runtime.turn import take_turn
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from tests.runtime.loop import GRID, Sum, drive, engine


def call(loop: Engine, index: int, branch: str = "a", *, first: bool = False) -> Tensor:
    """One call, whose feature is the step's number if it is computed."""
    latent = torch.zeros(1, 2)
    work = loop.begin(Position(first, GRID, index, branch, 0), latent)
    made = work.prediction
    if made is None:
        made = loop.computed(work, torch.full((1, 2), float(index)))
    loop.end(work, made)
    return made


def held(loop: Engine) -> int:
    """Features that all branches hold."""
    return sum(len(branch.history.entries) for branch in loop._branches.values())


class Kept(Reuse):
    """Keeps latents, too."""

    reads_latents = True


def test_the_seconds_of_a_run_are_from_its_first_call_to_the_end_of_the_last(monkeypatch):
    clock = iter([100.0, 103.0, 107.5, 200.0, 201.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    engine_ = engine(Reuse())
    drive(engine_, [0])
    assert engine_.report.seconds == 3.0
    drive(engine_, [1], first=False)
    assert engine_.report.seconds == 7.5
    drive(engine_, [0])
    assert engine_.report.seconds == 1.0


def test_a_run_is_described_by_its_first_call():
    seen = []

    class Watch(Recorder):
        def lesa_run_start(self, run):
            seen.append(run)

    loop = Engine(Strategy(ComputeSteps(), EqualStages(), Reuse()), "flux", Tap.POST_NORM, [Watch()])
    latent = torch.zeros(2, 3, 5)
    loop.end(loop.begin(Position(True, GRID, 0, "a", 0), latent, lambda: 3.5), latent)
    assert seen == [RunInfo(GRID.sigmas, "flux", Tap.POST_NORM, (), (3, 5), 3.5)]
    assert loop.report.info == seen[0]


def test_a_history_tells_predictions_from_computed_features():
    seen = []

    class Looks(Sum):
        def filter(self, entries, ctx):
            seen.append([(entry.step, entry.computed) for entry in entries])
            return super().filter(entries, ctx)

    drive(engine(Looks()), range(4))
    assert seen == [[(1, True), (0, True)], [(2, False), (1, True), (0, True)]]


def test_branches_whose_features_have_other_shapes_do_not_see_each_other_though_their_latents_are_alike():
    seen, lengths = [], {"a": 3, "b": 4, "c": 3}

    class Looks(Reuse):
        def filter(self, entries, ctx):
            seen.append((ctx.branch, set(ctx.others)))
            return super().filter(entries, ctx)

    loop, latent = engine(Looks(), computed=(0,)), torch.zeros(1, 2)
    for step in range(2):
        for branch, length in lengths.items():
            work = loop.begin(Position((step, branch) == (0, "a"), GRID, step, branch, 0), latent)
            feature = work.prediction if step else loop.computed(work, torch.zeros(1, length))
            loop.end(work, feature)
    assert seen == [("a", {"c"}), ("b", set()), ("c", {"a"})]


def test_histories_are_freed_once_all_branches_have_had_the_last_step():
    loop = engine(Kept())
    for index in range(8):
        assert [held(loop), loop.report.cache_bytes] == [2 * bool(index), 32 * bool(index)]
        call(loop, index, "a", first=index == 0)
        assert held(loop) == 2 - (index == 0)
        call(loop, index, "b")
    assert held(loop) == 0
    assert loop._branches["a"].computed is None
    assert loop.report.cache_bytes == 32  # the most that they held
    call(loop, 7, "b")
    assert [str(record.reason) for record in loop.report.records][-1] == "repeated step"
    assert [held(loop), loop.report.cache_bytes] == [0, 32]


def test_the_branches_of_one_batch_are_freed_together():
    loop = engine(Reuse())
    for index in range(8):
        parts = tuple(Position((index, name) == (0, "a"), GRID, index, name, 0) for name in "ab")
        turn = take_turn(loop, Located(parts, (0, 1)), torch.zeros(2, 2), lambda: None)
        feature = turn.prediction
        turn.end(turn.computed(torch.full((2, 2), float(index))) if feature is None else feature)
        assert held(loop) == (2 if index < 7 else 0)
    assert loop.report.cache_bytes == 16


def test_a_branch_that_rests_at_the_end_keeps_all_histories_to_the_end_of_the_run():
    loop = engine(Reuse())
    drive(loop, [0], branch="b")
    drive(loop, range(8), first=False)
    assert held(loop) == 2
    loop.close()
    assert [held(loop), loop.report.cache_bytes] == [0, 16]


def test_a_run_of_its_last_step_alone_keeps_what_its_other_branches_may_read():
    seen = []

    class Looks(Reuse):
        def correction(self, entries, ctx):
            seen.append(set(ctx.others))

    loop = engine(Looks(), computed=(7,))
    call(loop, 7, "a", first=True)
    call(loop, 7, "b")
    assert seen == [set(), {"a"}]


@pytest.mark.parametrize(
    ("steps", "planned"),
    [
        ([0, 5, 6, 7], "FFPP"),  # 4 was missed
        ([0, 1, 4, 5], "FPFP"),  # nothing was: 4 is computed anyway
        ([0, 1, 3, 4], "FPPF"),  # a pause in which nothing is computed
        ([0, 3, 5, 7], "FPFP"),  # every other step
        ([5, 6, 7], "FPP"),  # a run that begins late
    ],
)
def test_a_branch_that_missed_a_computed_step_computes_when_it_is_called_again(steps, planned):
    loop = engine(Reuse())
    used = drive(loop, steps, first=True)
    assert loop.report.plan() == planned
    computed = [float(step) for step, letter in zip(steps, planned, strict=True) if letter == "F"]
    assert sorted({float(feature[0, 0]) for feature in used}) == computed


def test_a_pause_is_the_reason_and_no_fallback_and_concerns_its_branch_alone():
    loop = engine(Reuse())
    for step in range(8):
        call(loop, step, "a", first=step == 0)
        if step == 0 or step > 5:
            call(loop, step, "b")
    reasons = {name: [each.reason for each in loop.report.records if each.branch == name] for name in "ab"}
    assert reasons["a"] == [Reason.SCHEDULE, *[Reason.PREDICTED] * 3] * 2
    assert reasons["b"] == [Reason.SCHEDULE, Reason.MISSED, Reason.PREDICTED]
    assert not loop.report.fallbacks


def test_a_schedule_is_asked_about_other_steps_only_after_a_pause():
    asked = []

    class Watched(SchedulePolicy):
        def decide(self, ctx):
            asked.append((ctx.index, ctx.stage, ctx.latent is None))
            return Decision.PREDICT if ctx.index else Decision.COMPUTE

    loop = Engine(Strategy(Watched(), EqualStages(2), Reuse()), "flux", Tap.PRE_HEAD)
    drive(loop, [0, 1, 2, 5, 6])
    assert [index for index, *_ in asked] == [0, 1, 2, 5, 3, 4, 6]
    assert asked[3:6] == [(5, 1, False), (3, 0, True), (4, 1, True)]
