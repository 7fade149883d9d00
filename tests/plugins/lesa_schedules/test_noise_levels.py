from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesa_framework import ConfigError, NoiseLevels, load_config
from lesa_framework.testing import check_schedule, even_grid
from lesa_schedules.noise_levels import NoiseLevelsConfig


def config(levels):
    return load_config({"schedule": {"kind": "noise_levels", "compute": levels}, "predictor": {"kind": "reuse"}})


def shifted(num_steps, shift=3.0):
    return tuple(shift * level / (1 + (shift - 1) * level) for level in even_grid(num_steps))


def test_it_keeps_the_contract():
    check_schedule(NoiseLevelsConfig(compute=(1.0, 0.6, 0.2)))


def test_a_configuration():
    assert config([1.0, 0.5]).schedule.build().compute == (1.0, 0.5)


@given(steps=st.sets(st.integers(1, 49), max_size=20), shift=st.floats(0.2, 6))
def test_on_their_own_grid_levels_are_the_steps_they_came_from(steps, shift):
    grid, steps = shifted(50, shift), {0, *steps}
    assert NoiseLevels([grid[step] for step in steps]).steps(grid) == steps


@given(steps=st.sets(st.integers(1, 49), min_size=1, max_size=9), length=st.integers(2, 200))
def test_on_another_grid_each_is_at_most_half_a_step_away(steps, length):
    levels, grid = [even_grid(50)[step] for step in sorted({0, *steps})], even_grid(length)
    found = NoiseLevels(levels).steps(grid)
    assert 0 in found
    assert len(found) <= max(len(levels), 1)
    if length > len(levels):
        last = grid[length - 1]
        for level in levels:
            assert min(abs(grid[step] - level) for step in found) <= max(0.5 / length, last - level) + 1e-9


def test_a_run_of_no_more_steps_than_levels_is_computed():
    assert NoiseLevels([1.0, 0.99, 0.98, 0.97]).steps(even_grid(4)) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ([0.5, 1.0], "noise levels must fall"),
        ([1.0, 0.5, 0.5], "noise levels must fall"),
        ([1000, 500], "less than or equal to 1"),
        ([-0.1], "greater than or equal to 0"),
        ([], "at least 1 item"),
    ],
)
def test_what_are_no_noise_levels(levels, words):
    with pytest.raises(ConfigError, match=words):
        config(levels)
