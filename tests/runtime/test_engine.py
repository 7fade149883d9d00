from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor

from lesa_framework import (
    ArtifactError,
    ConfigError,
    Decision,
    EntryInfo,
    Filter,
    HistoryPlace,
    PluginContractError,
    Predictor,
    Reason,
    Reuse,
    RunInfo,
    SchedulePolicy,
    StepContext,
    Strategy,
    Tap,
)
from lesa_framework.runtime.calls.tracking import Position
from lesa_framework.runtime.engine import Engine
from lesa_framework.runtime.features.history import History
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from tests.runtime.loop import GRID, Sum, drive, engine, values


class Broken(Predictor):
    """Returns what it was given."""

    def __init__(self, result: Tensor) -> None:
        self.result = result

    def predict(self, history, ctx):
        return self.result


def test_computed_features_are_held():
    engine_ = engine(Reuse())
    assert values(drive(engine_)) == [0, 0, 0, 0, 4, 4, 4, 4]
    assert engine_.report.plan() == "FPPPFPPP"
    assert (engine_.report.num_steps, engine_.report.nfe) == (8, 2)


def test_a_step_that_comes_again_is_off_the_grid():
    engine_, latent = engine(Reuse()), torch.ones(1, 2)
    for number, index in enumerate((0, None, 0, 1, None, 1, 2)):  # 1 is predicted, so no history has it
        step = engine_.begin(Position(number == 0, GRID, index, "a", 0), latent)
        engine_.end(step, step.prediction if step.prediction is not None else engine_.computed(step, latent))
    reasons = [record.reason for record in engine_.report.records]
    again = [Reason.UNKNOWN_STEP, Reason.REPEATED_STEP, Reason.PREDICTED]
    assert reasons == [Reason.SCHEDULE, *again, *again]
    assert engine_.report.cache_bytes == latent.nbytes
    # Advice about the grid is for those that were not on it.
    assert "  fell back to computing 2x: repeated step\n" in f"{engine_.report}\n"


def test_predictions_enter_a_history_that_records_all():
    # Steps 0 and 1 are computed (two features are asked for), step 4 by schedule.
    assert values(drive(engine(Sum()))) == [0, 1, 1, 2, 4, 7, 13, 24]


def test_a_short_history_is_computed_and_said_so():
    engine_ = engine(Sum())
    drive(engine_)
    reasons = [record.reason for record in engine_.report.records]
    assert reasons[:3] == [Reason.SCHEDULE, Reason.HISTORY, Reason.PREDICTED]
    assert not engine_.report.fallbacks


def test_a_new_run_forgets_the_last():
    engine_ = engine(Sum())
    first = values(drive(engine_))
    assert values(drive(engine_)) == first
    assert len(engine_.report.records) == 8


def test_branches_have_their_own_histories():
    engine_ = engine(Reuse())
    drive(engine_, [0], branch="a")
    work = engine_.begin(Position(False, GRID, 1, "b", 1), torch.zeros(1, 2))
    assert work.record.reason is Reason.HISTORY


def test_a_changed_shape_is_computed_and_counted():
    engine_ = engine(Reuse())
    drive(engine_, [0, 1])
    drive(engine_, [2, 3], shape=(3, 2), first=False)
    assert engine_.report.plan() == "FPFP"
    assert engine_.report.fallbacks == {Reason.SHAPE: 1}


def test_unknown_steps_are_computed_counted_and_not_remembered():
    engine_ = engine(Reuse())
    drive(engine_, [0, 1])
    for _ in range(2):
        lost = engine_.begin(Position(False, GRID, None, "a", 0), torch.zeros(1, 2))
        assert (lost.prediction, lost.ctx, lost.record.index, lost.record.stage) == (None, None, -1, -1)
        engine_.end(lost, engine_.computed(lost, torch.full((1, 2), 99.0)))
    assert values(drive(engine_, [2], first=False)) == [0]
    report = engine_.report
    assert report.fallbacks == {Reason.UNKNOWN_STEP: 2}
    assert (report.num_steps, report.nfe, report.plan()) == (5, 3, "FPFFP")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_with_the_strict_check_a_prediction_that_is_not_finite_is_computed_and_counted(bad):
    engine_ = engine(Broken(torch.tensor([[0.0, bad]])), check_finite="strict")
    assert values(drive(engine_)) == list(range(8))
    assert engine_.report.fallbacks == {Reason.NON_FINITE: 6}
    assert "fell back to computing 6x: non-finite prediction" in str(engine_.report)


def test_the_check_can_be_switched_off():
    engine_ = engine(Broken(torch.tensor([[0.0, math.nan]])), check_finite=False)
    drive(engine_)
    assert engine_.report.plan() == "FPPPFPPP"


@pytest.mark.parametrize(
    "result",
    [torch.zeros(2, 2), torch.zeros(1, 2, dtype=torch.float16), torch.zeros(1, 2, device="meta")],
)
def test_a_prediction_of_another_shape_dtype_or_device_is_the_predictors_fault(result):
    returned = re.escape(f"Broken.predict returned {tuple(result.shape)} {result.dtype} on {result.device}")
    kept = re.escape("it must keep the features' (1, 2) torch.float32 on cpu.")
    with pytest.raises(PluginContractError, match=f"{returned}; {kept}"):
        drive(engine(Broken(result)))


def test_a_history_is_made_once_for_each_branch_of_a_run():
    made = []

    def make(depth, place, branches):
        made.append(depth)
        return History(depth, place, branches)

    engine_ = Engine(Strategy(ComputeSteps((0,)), EqualStages(), Reuse()), "flux", Tap.PRE_HEAD, new_history=make)
    drive(engine_)
    drive(engine_, branch="b", first=False)
    assert made == [1, 1]


def test_histories_are_kept_where_the_strategy_says():
    engine_ = engine(Sum(), history=HistoryPlace(dtype=torch.bfloat16))
    used = drive(engine_)
    assert {feature.dtype for feature in used} == {torch.float32}
    assert engine_.report.cache_bytes == 3 * 2 * 2
    assert values(used) == values(drive(engine(Sum())))  # whole numbers, which bfloat16 keeps


def test_the_schedule_and_the_predictor_are_asked_before_a_run():
    class Picky(Reuse):
        def check(self, run: RunInfo) -> None:
            raise ArtifactError(f"not for {run.backbone} at {run.tap} in {len(run.sigmas) - 1} steps")

    with pytest.raises(ArtifactError, match="not for flux at pre_head in 8 steps"):
        drive(engine(Picky()))

    class Long(ComputeSteps):
        def check(self, num_steps: int) -> None:
            raise ConfigError(f"{num_steps} steps are too few")

    with pytest.raises(ConfigError, match="8 steps are too few"):
        drive(Engine(Strategy(Long(), EqualStages(), Reuse()), "flux", Tap.PRE_HEAD))


def test_a_refused_run_leaves_nothing_open():
    class Picky(Reuse):
        refuse = False

        def check(self, run: RunInfo) -> None:
            if self.refuse:
                raise ArtifactError("no")

    picky = Picky()
    engine_ = engine(picky)
    drive(engine_)
    picky.refuse = True
    with pytest.raises(ArtifactError):
        drive(engine_)
    assert engine_.report.plan() == "FPPPFPPP"  # the last run that there was
    picky.refuse = False
    assert values(drive(engine_)) == [0, 0, 0, 0, 4, 4, 4, 4]


def test_schedules_see_the_whole_context():
    seen: list[StepContext] = []

    class Watching(SchedulePolicy):
        def decide(self, ctx: StepContext) -> Decision:
            seen.append(ctx)
            return Decision.COMPUTE if ctx.index == 0 else Decision.PREDICT

    drive(Engine(Strategy(Watching(), EqualStages(2), Reuse()), "flux", Tap.PRE_HEAD))
    last = seen[-1]
    assert (last.index, last.num_steps, last.sigma, last.stage) == (7, 8, 0.125, 1)
    assert last.entries == (EntryInfo(0, True),)
    assert last.latent is not None


def test_observers_hear_of_everything_in_order():
    heard: list[str] = []

    class Loud(Recorder):
        def lesa_run_start(self, run):
            heard.append("start")

        def lesa_step_end(self, record, latent, feature):
            heard.append(str(record.index))

        def lesa_run_end(self, report):
            heard.append(f"end after {report.num_steps}")

    engine_ = Engine(Strategy(ComputeSteps(), EqualStages(), Reuse()), "flux", Tap.PRE_HEAD, [Loud()])
    drive(engine_, [0, 1])
    drive(engine_, [0])
    engine_.close()
    engine_.close()
    assert heard == ["start", "0", "1", "end after 2", "start", "0", "end after 1"]


def test_ending_a_run_keeps_the_report_and_frees_the_histories():
    engine_ = engine(Reuse())
    drive(engine_)
    before = engine_.report
    assert before.cache_bytes == 8
    engine_.close()
    assert engine_.report == before
    assert not engine_._branches


def test_an_observer_that_fails_does_not_keep_the_run_open():
    class Fails(Recorder):
        def lesa_run_end(self, report):
            raise RuntimeError("disk full")

    loop = engine(Reuse())
    loop.observers = (Fails(),)
    step = loop.begin(Position(True, GRID, 0, "a", 0), torch.zeros(1, 2, 3))
    loop.end(step, torch.ones(1, 2, 3))
    with pytest.raises(RuntimeError, match="disk full"):
        loop.close()
    loop.close()
    assert loop.report.plan() == "F"


def test_without_a_run_there_is_an_empty_report():
    report = engine(Reuse()).report
    assert (report.seconds, report.cache_bytes) == (0, 0)
    assert (report.num_steps, report.nfe, report.plan(), str(report)) == (0, 0, "", "no run yet")


def test_predictions_do_not_alias_the_ring_under_autograd():
    engine_ = engine(Reuse())
    drive(engine_, [0])
    with torch.enable_grad():
        work = engine_.begin(Position(False, GRID, 1, "a", 0), torch.zeros(1, 2))
    engine_._branches["a"].history.append(torch.full((1, 2), 5.0), EntryInfo(2, True))
    assert float(work.prediction[0, 0]) == 0.0


class Mixes(Reuse):
    """Mixes whatever branches it may name into every step."""

    def filter(self, entries, ctx):
        return Filter((1.0,), others=dict.fromkeys(ctx.others, (0.5,)))

    def correction(self, entries, ctx):
        return self.filter(entries, ctx)


@pytest.mark.parametrize("predictor", [Mixes(), Reuse()])
def test_a_shape_that_changes_in_every_branch_is_counted_also_by_filters_over_others(predictor):
    loop = engine(predictor, computed=(0, 3))
    for step in range(8):
        for branch in ("a", "b"):
            drive(loop, [step], branch=branch, shape=(1, 2 if step < 5 else 3), first=(step, branch) == (0, "a"))
    assert [loop.report.plan(branch) for branch in ("a", "b")] == ["FPPFPFPP"] * 2
    assert loop.report.fallbacks == {Reason.SHAPE: 2}


def test_branches_of_different_shapes_do_not_see_each_other():
    class Sees(Mixes):
        def filter(self, entries, ctx):
            seen.append(dict(ctx.others))
            return super().filter(entries, ctx)

    seen, loop = [], engine(Sees(), computed=(0,))
    for step in range(4):
        for branch, width in (("a", 2), ("b", 3)):
            drive(loop, [step], branch=branch, shape=(1, width), first=(step, branch) == (0, "a"))
    assert seen == [{}] * 8
