"""Schedules and predictors that look at the latents, and decisions that several processes share."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from lesa_framework import Decision, Filter, Reason, Reuse, SchedulePolicy, Strategy
from lesa_framework.runtime.calls.levels import Grid
from lesa_framework.runtime.calls.tracking import Position
from lesa_framework.runtime.engine import Engine
from lesa_framework.runtime.strategy import plan
from lesa_framework.testing import even_grid
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.types import Tap

GRID = Grid(even_grid(8))


class Gate(SchedulePolicy):
    """Compute when the latent has moved by `threshold` of its size since the newest computed step."""

    dynamic = True

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def decide(self, ctx):
        if ctx.computed_latent is None:
            return Decision.COMPUTE
        moved = (ctx.latent - ctx.computed_latent).abs().mean() / ctx.computed_latent.abs().mean()
        return Decision.COMPUTE if bool(moved > self.threshold) else Decision.PREDICT


class Deep(Reuse):
    depth = 3

    def min_history(self, stage):
        return 3


def engine(threshold=0.25, predictor=None, agree=None, **options) -> Engine:
    strategy = Strategy(Gate(threshold), EqualStages(), predictor or Reuse(), **options)
    hook = {} if agree is None else {"agree": agree}
    return Engine(strategy, "testing", Tap.PRE_HEAD, **hook)


def drive(loop: Engine, latents, branch="a", feature=None) -> str:
    for step, value in enumerate(latents):
        work = loop.begin(Position(step == 0, GRID, step, branch, 0), torch.full((1, 2), float(value)))
        made = torch.ones(1, 2) if feature is None else feature(step)
        loop.end(work, loop.computed(work, made) if work.prediction is None else work.prediction)
    return loop.report.plan()


def test_a_gate_computes_when_the_latent_has_moved_since_the_newest_computed_step():
    assert drive(engine(), [10, 11, 12, 13, 14, 15, 16, 17]) == "FPPFPPPF"
    assert drive(engine(), [10] * 8) == "FPPPPPPP"


def test_each_branch_and_each_run_has_its_own_latent():
    loop = engine()
    assert drive(loop, [10, 11, 12]) == "FPP"
    assert drive(loop, [99, 99, 99]) == "FPP"


def test_the_latent_is_a_copy_that_is_counted_and_freed():
    loop = engine()
    latent = torch.ones(1, 2, requires_grad=True)
    work = loop.begin(Position(True, GRID, 0, "a", 0), latent)
    loop.end(work, loop.computed(work, torch.ones(1, 2)))
    latent.detach().fill_(9.0)
    assert loop.report.cache_bytes == 16
    work = loop.begin(Position(False, GRID, 1, "a", 0), latent)
    assert torch.equal(work.ctx.computed_latent, torch.ones(1, 2))
    assert not work.ctx.computed_latent.requires_grad


def test_no_latent_is_kept_when_nothing_reads_it():
    loop = Engine(Strategy(ComputeSteps((0,)), EqualStages(), Reuse()), "testing", Tap.PRE_HEAD)
    work = loop.begin(Position(True, GRID, 0, "a", 0), torch.ones(1, 2))
    loop.end(work, loop.computed(work, torch.ones(1, 2)))
    assert loop.report.cache_bytes == 8
    assert loop.begin(Position(False, GRID, 1, "a", 0), torch.ones(1, 2)).ctx.computed_latent is None


def test_a_predictor_may_read_it_too():
    class Reads(Reuse):
        reads_latents = True

        def filter(self, entries, ctx):
            return Filter((float(ctx.computed_latent.mean()),))

    loop = Engine(Strategy(ComputeSteps((0,)), EqualStages(), Reads()), "testing", Tap.PRE_HEAD)
    work = loop.begin(Position(True, GRID, 0, "a", 0), torch.full((1, 2), 3.0))
    loop.end(work, loop.computed(work, torch.ones(1, 2)))
    work = loop.begin(Position(False, GRID, 1, "a", 0), torch.ones(1, 2))
    assert torch.equal(work.prediction, torch.full((1, 2), 3.0))


@pytest.mark.parametrize(("predictor", "certain"), [(Reuse(), 1), (Deep(), 3)])
def test_a_plan_says_what_depends_on_data(predictor, certain):
    strategy = engine(predictor=predictor).source
    steps = plan(strategy, GRID.sigmas)
    reasons = [reason for _, reason in steps]
    assert reasons == [Reason.HISTORY] * certain + [Reason.DATA] * (8 - certain)
    assert strategy.nfe(GRID.sigmas) is None


def test_static_plans_of_several_branches_know_each_other():
    steps = plan(Strategy(ComputeSteps((0, 2)), EqualStages(), Reuse()), GRID.sigmas, ("cond", "uncond"))
    assert [ctx.branch for ctx, _ in steps[:4]] == ["cond", "uncond", "cond", "uncond"]
    third = {ctx.branch: ctx.others for ctx, _ in steps[4:6]}
    assert [entry.step for entry in third["cond"]["uncond"]] == [0]  # cond is called first
    assert [entry.step for entry in third["uncond"]["cond"]] == [2]


class Exchange:
    """Two processes, as threads: whoever decides waits for the other, and computing wins."""

    def __init__(self) -> None:
        self._barrier, self._said = threading.Barrier(2, timeout=10), [False, False]

    def agree(self, rank: int, compute: bool) -> bool:
        self._said[rank] = compute
        self._barrier.wait()
        decision = any(self._said)
        self._barrier.wait()
        return decision


@pytest.mark.filterwarnings("ignore:The model's own feature at step 0 of 'a' is not finite")
def test_processes_that_agree_cannot_diverge():
    # The second one sees a latent that rounding has moved over the threshold, and a prediction that is not finite.
    latents = [[10, 11, 12, 13, 13.74, 14, 15, 16], [10, 11, 12, 13, 13.76, 14, 15, 16]]
    features = [lambda step: torch.ones(1, 2), lambda step: torch.full((1, 2), math.inf if step == 0 else 1.0)]
    alone = [
        drive(engine(check_finite="strict"), latent, feature=feature)
        for latent, feature in zip(latents, features, strict=True)
    ]
    assert alone[0] != alone[1]
    exchange = Exchange()

    def rank(number: int) -> str:
        loop = engine(agree=partial(exchange.agree, number), check_finite="strict")
        return drive(loop, latents[number], feature=features[number])

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(rank, range(2))) == ["FFPPFPPP"] * 2


@pytest.mark.parametrize("check", [True, False])
def test_static_decisions_are_not_exchanged(check):
    asked = []
    strategy = Strategy(ComputeSteps((0, 4)), EqualStages(), Reuse(), check_finite=check)
    loop = Engine(strategy, "testing", Tap.PRE_HEAD, agree=asked.append)
    assert drive(loop, [1.0] * 8) == "FPPPFPPP"
    assert asked == []


class Path(Gate):
    """Remembers what it was shown."""

    reads_path = True

    def __init__(self, threshold):
        super().__init__(threshold)
        self.seen = []

    def decide(self, ctx):
        self.seen.append({step: float(latent.mean()) for step, latent in ctx.path.items()})
        return super().decide(ctx)


def test_the_path_begins_at_the_computed_step_before_the_newest_one():
    gate = Path(0.25)
    loop = Engine(Strategy(gate, EqualStages(), Reuse()), "testing", Tap.PRE_HEAD)
    assert drive(loop, [10, 11, 12, 13, 14, 17, 18]) == "FPPFPFP"
    assert gate.seen == [
        {},
        {0: 10},
        {0: 10, 1: 11},
        {0: 10, 1: 11, 2: 12},
        {0: 10, 1: 11, 2: 12, 3: 13},
        {0: 10, 1: 11, 2: 12, 3: 13, 4: 14},
        {3: 13, 4: 14, 5: 17},
    ]
    assert drive(loop, [10, 11]) == "FP"
    assert gate.seen[7:] == [{}, {0: 10}]


def test_the_path_is_as_long_where_predictions_have_pushed_computed_features_out():
    class Recent(Reuse):
        records = "all"

    gate = Path(0.25)
    loop = Engine(Strategy(gate, EqualStages(), Recent()), "testing", Tap.PRE_HEAD)
    assert drive(loop, [10, 11, 12, 13, 14, 17, 18]) == "FPPFPFP"
    assert gate.seen[4] == {0: 10, 1: 11, 2: 12, 3: 13}
    assert gate.seen[-1] == {3: 13, 4: 14, 5: 17}


def test_the_path_is_copied_and_counted():
    loop = Engine(Strategy(Path(0.25), EqualStages(), Reuse()), "testing", Tap.PRE_HEAD)
    latent = torch.full((1, 2), 10.0)
    work = loop.begin(Position(True, GRID, 0, "a", 0), latent)
    loop.end(work, loop.computed(work, torch.ones(1, 2)))
    latent.fill_(99.0)
    work = loop.begin(Position(False, GRID, 1, "a", 0), torch.full((1, 2), 11.0))
    assert float(work.ctx.path[0].mean()) == 10
    assert loop.report.cache_bytes == 24
