"""A number of steps from each sort of budget, and what is refused."""

from __future__ import annotations

import pytest

from lesa_framework import ConfigError
from lesa_framework.search.budget import Budget, StepCost

COST = StepCost(computed=0.5, predicted=0.01, around=1.0)


def never() -> StepCost:
    raise AssertionError("this budget needs no measurement")


@pytest.mark.parametrize(
    ("budget", "nfe"),
    [
        (Budget(nfe=10), 10),
        (Budget(nfe=49), 49),
        (Budget(speedup=5), 10),
        (Budget(speedup=6), 9),
        (Budget(speedup=50), 1),
        (Budget(speedup=1.5), 34),
    ],
)
def test_steps_without_a_clock(budget: Budget, nfe: int) -> None:
    assert budget.steps(50, never) == nfe


def test_as_many_steps_as_fit_into_the_seconds() -> None:
    found = Budget(seconds=6.0).steps(50, lambda: COST)
    assert COST.run(found, 50) <= 6.0 < COST.run(found + 1, 50)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "none is given"),
        ({"nfe": 10, "speedup": 5}, "--nfe and --speedup are given"),
        ({"nfe": 0}, "--nfe 0: must be a positive number"),
        ({"speedup": float("nan")}, "must be a positive number"),
        ({"seconds": -1.0}, "must be a positive number"),
        ({"nfe": 50}, "of 50 steps 50 would be computed, so none is predicted. Valid: 1 to 49"),
        ({"speedup": 1.0}, "so none is predicted"),
        ({"speedup": 51}, "of 50 steps less than one would be computed"),
        ({"seconds": 1.5}, "less than one step could be computed. Valid: from 2 s"),
        ({"seconds": 100.0}, "so none is predicted"),
    ],
)
def test_budgets_that_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Budget(**given).steps(50, lambda: COST)


def test_nothing_can_be_saved_where_predicting_is_slow() -> None:
    with pytest.raises(ConfigError, match="takes as long as a computed one"):
        Budget(seconds=3.0).steps(50, lambda: StepCost(0.1, 0.1, 0.0))
