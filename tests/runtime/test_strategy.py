from __future__ import annotations

import pytest

from lesa_framework import (
    ConfigError,
    Decision,
    PluginContractError,
    Reason,
    Strategy,
)
from lesa_framework.report import plan_string
from lesa_framework.runtime.strategy import count_computed, plan
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages, Hold
from tests.runtime.loop import GRID, Sum, drive, engine


def test_a_predictor_that_can_never_predict_is_refused():
    class Hungry(Hold):
        def min_history(self, stage: int) -> int:
            return 2

    with pytest.raises(PluginContractError, match=r"Hungry: min_history\(0\) is 2, but depth is 1"):
        engine(Hungry())


def test_stages_that_do_not_match_are_refused_with_the_remedy():
    class Staged(Hold):
        num_stages = 3

    with pytest.raises(ConfigError, match=r"router: it has 1 stage\(s\).*experts for 3.*`router.boundaries` 2"):
        engine(Staged())


@pytest.mark.parametrize("predictor", [Hold(), Sum()])
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
    class Staged(Hold):
        num_stages, depth = 2, 2

        def min_history(self, stage: int) -> int:
            return (1, 2)[stage]

    assert Strategy(ComputeSteps(), EqualStages(2), Staged()).predictor.depth == 2


def test_a_plan_is_refused_by_a_schedule_as_a_run_is():
    class Long(ComputeSteps):
        def check(self, num_steps: int) -> None:
            raise ConfigError(f"{num_steps} steps are too few")

    with pytest.raises(ConfigError, match="8 steps are too few"):
        plan(Strategy(Long(), EqualStages(), Hold()), GRID.sigmas)


def test_the_computed_steps_of_a_plan_are_counted():
    reasons = [Reason.SCHEDULE, Reason.PREDICTED, Reason.HISTORY, Reason.PREDICTED]
    assert count_computed(reasons) == 2
    assert count_computed([]) == 0
