from __future__ import annotations

import pytest

from lesa_framework import (
    ConfigError,
    Decision,
    PluginContractError,
    Reason,
    Reuse,
    RunInfo,
    Strategy,
    Tap,
)
from lesa_framework.report import plan_string
from lesa_framework.runtime.strategy import plan
from lesa_framework.testing import even_grid
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_schedules.schedules import StepsConfig
from tests.runtime.loop import GRID, Sum, drive, engine


def test_a_predictor_that_can_never_predict_is_refused():
    class Hungry(Reuse):
        def min_history(self, stage: int) -> int:
            return 2

    with pytest.raises(PluginContractError, match=r"Hungry: min_history\(0\) is 2, but depth is 1"):
        engine(Hungry())


def test_stages_that_do_not_match_are_refused_with_the_remedy():
    class Staged(Reuse):
        num_stages = 3

    with pytest.raises(ConfigError, match=r"router: it has 1 stage\(s\).*experts for 3.*`router.boundaries` 2"):
        engine(Staged())


@pytest.mark.parametrize("predictor", [Reuse(), Sum()])
@pytest.mark.parametrize("computed", [(0,), (0, 4), (0, 1, 2, 5), range(8)])
def test_the_plan_is_what_happens(predictor, computed):
    engine_ = engine(predictor, computed)
    drive(engine_)
    planned = plan(engine_.source, GRID.sigmas)
    letters = plan_string(
        [Decision.PREDICT if reason is Reason.PREDICTED else Decision.COMPUTE for _, reason in planned]
    )
    assert letters == engine_.report.plan()
    assert [reason for _, reason in planned] == [record.reason for record in engine_.report.records]


def test_only_stages_that_there_are_are_asked_for_their_history():
    class Staged(Reuse):
        num_stages, depth = 2, 2

        def min_history(self, stage: int) -> int:
            return (1, 2)[stage]

    assert Strategy(ComputeSteps(), EqualStages(2), Staged()).predictor.depth == 2


def test_a_plan_is_refused_by_a_schedule_as_a_run_is():
    class Long(ComputeSteps):
        def check(self, num_steps: int) -> None:
            raise ConfigError(f"{num_steps} steps are too few")

    with pytest.raises(ConfigError, match="8 steps are too few"):
        plan(Strategy(Long(), EqualStages(), Reuse()), GRID.sigmas)


def made_for(num_steps: int, *computed: int, carries_over: bool = True) -> Strategy:
    predictor = Reuse()
    predictor.trained_for = RunInfo(even_grid(num_steps), "flux", Tap.PRE_HEAD)
    predictor.carries_over = carries_over
    return Strategy(StepsConfig(compute=computed).build(), EqualStages(), predictor)


@pytest.mark.parametrize(("num_steps", "computed"), [(24, [0, 8, 16]), (6, [0, 2, 4]), (18, [0, 6, 12])])
def test_computed_steps_carry_over_to_another_number_of_steps_with_the_weights(num_steps, computed):
    grid = even_grid(num_steps)
    run = RunInfo(grid, "flux", Tap.PRE_HEAD)
    planned = plan(made_for(12, 0, 4, 8).for_run(run), grid)
    assert [ctx.index for ctx, reason in planned if reason is not Reason.PREDICTED] == computed


def test_a_run_without_more_steps_than_weights_compute_is_computed_whole():
    grid = even_grid(3)
    assert made_for(12, 0, 4, 8).on(grid).nfe(grid) == 3


def test_a_schedule_is_carried_over_for_another_number_of_steps_alone():
    shifted = tuple(level**2 for level in even_grid(12))
    for strategy in (made_for(12, 0, 4, 8), made_for(24, 0, 4, 8, carries_over=False)):
        assert strategy.on(shifted) is strategy
    assert made_for(24, 0, 4, 8).on(()).schedule.compute == frozenset({0, 4, 8}), "a grid that is not known"


def test_computed_steps_are_counted_whatever_they_are_computed_for():
    class Deep(Reuse):
        depth = 2

        def min_history(self, stage: int) -> int:
            return 2

    strategy = Strategy(ComputeSteps((0, 4)), EqualStages(), Deep())
    reasons = [reason for _, reason in plan(strategy, GRID.sigmas)]
    assert reasons[:3] == [Reason.SCHEDULE, Reason.HISTORY, Reason.PREDICTED]
    assert (strategy.computed(GRID.sigmas), strategy.nfe(GRID.sigmas)) == ((0, 1, 4), 3)
