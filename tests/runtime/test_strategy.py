from __future__ import annotations

import pytest

from lesa_framework import (
    ConfigError,
    Decision,
    PluginContractError,
    Reason,
)
from lesa_framework.report import plan_string
from lesa_framework.runtime.strategy import plan
from lesa_framework.testing.conformance.probes import Hold
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
    planned = plan(engine_.strategy, GRID.sigmas)
    letters = plan_string(
        [Decision.PREDICT if reason is Reason.PREDICTED else Decision.COMPUTE for _, reason in planned]
    )
    assert letters == engine_.report.plan()
    assert [reason for _, reason in planned] == [record.reason for record in engine_.report.records]
