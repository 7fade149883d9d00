from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesa_framework import AffinePredictor, ConfigError, Decision, Filter, Reuse, SchedulePolicy, StepContext, Strategy
from lesa_framework.runtime.strategy import plan
from lesa_framework.testing import check_schedule, even_grid
from lesa_framework.testing.conformance.probes import EqualStages
from lesa_framework.types import Reason
from lesa_schedules.schedules import (
    Always,
    AlwaysConfig,
    FixedInterval,
    FixedIntervalConfig,
    Steps,
    StepsConfig,
)

TABLE = {
    5: [0, 1, 2, 3, 7, 12, 17, 22, 27, 32, 37, 42, 47],
    6: [0, 1, 2, 3, 8, 14, 20, 26, 32, 38, 44],
    7: [0, 1, 2, 3, 9, 16, 23, 30, 37, 44],
    8: [0, 1, 2, 3, 10, 18, 26, 34, 42],
    10: [0, 1, 2, 3, 12, 22, 32, 42],
}


class AsksForFour(AffinePredictor):
    """Like LESA's first stage."""

    depth = 4

    def min_history(self, stage: int) -> int:
        return 4

    def filter(self, entries, ctx):
        return Filter((1.0,))


def computed(schedule: SchedulePolicy, predictor=None, num_steps: int = 50) -> list[int]:
    strategy = Strategy(schedule, EqualStages(), predictor or AsksForFour())
    return [ctx.index for ctx, reason in plan(strategy, even_grid(num_steps)) if reason is not Reason.PREDICTED]


@pytest.mark.parametrize("interval", TABLE)
def test_the_papers_table(interval):
    assert computed(FixedInterval(interval)) == TABLE[interval]


def test_the_papers_string():
    letters = ["P"] * 50
    for step in computed(FixedInterval(7)):
        letters[step] = "F"
    assert "".join(letters) == "FFFFPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPP"


def test_a_predictor_that_asks_for_less_saves_the_step():
    assert computed(FixedInterval(7), Reuse()) == [step for step in TABLE[7] if step != 3]


@given(interval=st.integers(1, 12), warmup=st.integers(1, 8), steps=st.integers(1, 60))
def test_the_rule(interval, warmup, steps):
    expected = [i for i in range(steps) if i < warmup or (i - warmup + 1) % interval == 0]
    assert computed(FixedInterval(interval, warmup), Reuse(), steps) == expected


@given(interval=st.integers(1, 12), warmup=st.integers(1, 8), index=st.integers(0, 49), seed=st.randoms())
def test_is_locked_to_the_step_and_pure(interval, warmup, index, seed):
    schedule, others = FixedInterval(interval, warmup), [StepContext(i, even_grid(50)) for i in range(50)]
    ctx = StepContext(index, even_grid(50))
    before = schedule.decide(ctx)
    seed.shuffle(others)
    for other in others:
        schedule.decide(other)
    assert schedule.decide(ctx) is before


def test_interval_one_is_always():
    assert computed(FixedInterval(1), Reuse(), 20) == list(range(20))
    assert computed(Always(), Reuse(), 20) == list(range(20))


@given(steps=st.sets(st.integers(0, 29)))
def test_given_steps(steps):
    wanted = sorted({0, *steps})
    assert computed(Steps(wanted), Reuse(), 30) == wanted


def test_given_steps_beyond_the_run_are_refused():
    Steps([0, 9]).check(10)
    with pytest.raises(
        ConfigError, match=r"schedule.compute: step 9 does not exist in a run of 9 steps; valid: 0 to 8"
    ):
        Steps([0, 9]).check(9)


@pytest.mark.parametrize(
    ("steps", "message"),
    [([], "at least 1"), ([0, 5, 3], "rising"), ([0, 3, 3], "each once"), ([1, 2], "step 0"), ([0, -1], "equal to 0")],
)
def test_lists_of_steps_that_make_no_sense(steps, message):
    with pytest.raises(ValueError, match=message):
        StepsConfig(compute=tuple(steps))


@pytest.mark.parametrize("settings", [{"interval": 0}, {"interval": 5, "warmup": 0}, {"interval": 2.5}, {}])
def test_intervals_that_make_no_sense(settings):
    with pytest.raises(ValueError, match=r"interval|warmup"):
        FixedIntervalConfig(**settings)


@pytest.mark.parametrize(
    "config",
    [
        FixedIntervalConfig(interval=7),
        FixedIntervalConfig(interval=3, warmup=1),
        StepsConfig(compute=(0, 4, 19)),
        AlwaysConfig(),
    ],
    ids=lambda config: config.kind,
)
def test_keep_their_contract(config):
    check_schedule(config)


def test_always_computes():
    assert {Always().decide(StepContext(i, even_grid(50))) for i in range(50)} == {Decision.COMPUTE}
