"""What a fit learns of its schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lesa_fitted.first_run import computed_steps
from lesa_fitted.settings import FittedTrainingConfig
from lesa_framework import Reason, Strategy
from lesa_framework.runtime.strategy import plan
from lesa_rivals.magcache import MagCache
from tests.plugins.lesa_fitted.test_fit import closeness, fitted
from tests.toys import STEPS


def test_steps_that_depend_on_the_newest_computed_one_are_those_of_the_runs(make_task: Any) -> None:
    gate = MagCache([1.0] * STEPS, 1e9, 0.1, 3)  # computes after three predictions, and the last step
    task = replace(make_task(FittedTrainingConfig(), batch=6), schedule=gate)
    fit = fitted(task)
    planned = plan(Strategy(gate, task.router, fit.predictor), task.sigmas)
    computed = tuple(ctx.index for ctx, reason in planned if reason is not Reason.PREDICTED)
    assert fit._found.shape.computed == computed == (0, 4, 8, 11)
    assert computed_steps(task, 8, "computed") == computed
    assert fit.drift_db == pytest.approx(closeness(task, fit.predictor), abs=1e-3)
