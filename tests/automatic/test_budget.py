from __future__ import annotations

import numpy as np
import pytest

from lesa_framework import ConfigError
from lesa_framework.automatic.budget import Budget, nothing_to_gain


def test_how_many_steps_may_be_computed():
    assert [Budget(5).steps(steps) for steps in (50, 30, 28, 4)] == [10, 6, 6, 1]
    assert Budget(5.000000000001).steps(50) == 10
    assert Budget(np.float32(5)).steps(50) == Budget(np.int64(5)).steps(50) == 10


def test_weights_use_the_budget_and_keep_to_it():
    assert [nfe for nfe in range(20) if Budget(5).allows(nfe, 50)] == [9, 10]
    assert [nfe for nfe in range(30) if Budget(5).allows(nfe, 100)] == [*range(17, 22)]
    assert [nfe for nfe in range(40) if Budget(2).allows(nfe, 50)] == [*range(22, 27)]


@pytest.mark.parametrize(
    ("speedup", "steps", "words"),
    [(5, 4, "leaves one computed step"), (5, 5, "leaves one computed step"), (1.5, 3, "2 of them would be computed")],
)
def test_runs_that_gain_nothing(speedup, steps, words):
    assert words in Budget(speedup).objection(steps)


def test_runs_that_gain_something():
    assert Budget(5).objection(6) is None
    assert nothing_to_gain(2, 4) is None
    assert "3 of them" in nothing_to_gain(3, 4)


@pytest.mark.parametrize("speedup", [1, 0.5, -5, 0, float("nan"), float("inf"), 10**400, True, "5", None, [5]])
def test_what_is_no_speedup(speedup):
    with pytest.raises(ConfigError, match=r"^speedup: .* is not a number above 1\. With 5, one step in five"):
        Budget(speedup)
