from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesa_framework import Decision, LesaWarning, Reuse, StepContext, Strategy
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, TinyPipeline, attach, check_schedule, even_grid
from lesa_framework.testing.conformance.probes import EqualStages
from lesa_schedules.even import Even, EvenConfig

counts, lengths = st.integers(2, 40), st.integers(1, 200)


@pytest.mark.parametrize("config", [EvenConfig(compute=10), EvenConfig(speedup=5)])
def test_it_keeps_the_contract(config):
    check_schedule(config)


def test_ten_and_eight_of_fifty():
    assert sorted(Even(10).steps(50)) == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]
    assert Even(speedup=5).steps(50) == Even(10).steps(50)
    assert sorted(Even(8).steps(50)) == [0, 6, 12, 18, 25, 31, 37, 43]


@given(count=counts, length=lengths)
def test_any_run_computes_so_many_steps_from_the_first_on(count, length):
    steps = sorted(Even(count).steps(length))
    assert steps[0] == 0
    assert len(steps) == min(count, length)
    gaps = [later - earlier for earlier, later in zip(steps, [*steps[1:], length], strict=True)]
    assert max(gaps) - min(gaps) <= 1


@given(speedup=st.floats(1.01, 50), length=lengths)
def test_a_speedup_is_never_exceeded(speedup, length):
    assert length / len(Even(speedup=speedup).steps(length)) <= speedup + 1e-6


def test_it_decides_as_it_lists():
    schedule = Even(4)
    found = [schedule.decide(StepContext(step, even_grid(12))) is Decision.COMPUTE for step in range(12)]
    assert [step for step, computed in enumerate(found) if computed] == sorted(schedule.steps(12))


def test_a_run_that_is_too_short_is_computed_and_says_so_once():
    schedule = Even(speedup=5)
    assert schedule.steps(4) == {0, 1, 2, 3}
    with pytest.warns(LesaWarning, match="a run of 4 steps is too short to save anything"):
        schedule.check(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.check(4)
        Even(speedup=5).check(50)


@pytest.mark.parametrize("schedule", [Even(speedup=5), Even(10)])
def test_a_run_that_is_too_short_is_no_error(schedule):
    strategy = Strategy(schedule, EqualStages(), Reuse())
    model = TinyDiT()
    with attach(model, TinyDiTAdapter(), strategy, even_grid(4)) as session, pytest.warns(LesaWarning):
        TinyPipeline(model)(num_inference_steps=4)
    assert session.report.plan() == "FFFF"


@pytest.mark.parametrize("given", [{}, {"compute": 10, "speedup": 5}])
def test_either_of_them(given):
    with pytest.raises(ValueError, match="give either 'compute'"):
        EvenConfig(**given)
