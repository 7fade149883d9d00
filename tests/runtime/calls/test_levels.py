from __future__ import annotations

import pytest

from lesa_framework.runtime.calls.levels import NO_GRID, Grid, is_near, is_same

GRID = Grid((1.0, 0.5, 0.25, 0.0))


@pytest.mark.parametrize(
    ("level", "sigma", "near", "same"),
    [
        (1.0, 1.0, True, True),
        (1.0, 1.0000005, True, True),
        (1.0, 0.9999, True, False),
        (1.0, 0.992, True, False),
        (1.0, 0.990, False, False),
        (0.5, 0.504, True, False),
        (0.5, 0.506, False, False),
        (0.0, 0.00017, True, False),
        (0.0, 0.00019, False, False),
        (0.0, 0.009 * 0.02, True, False),
        (0.0, 1e-6, True, True),
        (0.5, 0.5000008, True, True),
        (0.5, 0.5000015, True, False),
        (-1.5, -1.49, True, False),
        (-1.5, -1.48, False, False),
        (80.0, 80.00005, True, True),
    ],
)
def test_levels_are_one_up_to_rounding(level, sigma, near, same):
    assert (is_near(level, sigma), is_same(level, sigma)) == (near, same)


@pytest.mark.parametrize(("index", "has"), [(None, False), (-1, False), (0, True), (2, True), (3, False)])
def test_the_steps_of_a_grid(index, has):
    assert GRID.has(index) is has


def test_a_step_agrees_with_its_level():
    assert GRID.agrees(1, 0.502)
    assert not GRID.agrees(1, 0.502, exactly=True)
    assert GRID.agrees(1, 0.5, exactly=True)
    assert not GRID.agrees(1, 0.25)
    assert not GRID.agrees(3, 0.0)


def test_what_a_model_is_told_need_not_be_a_level():
    grid = Grid((0.9, 0.5, 0.0), (1.1, -0.3), [(1.0, -1.0)])
    assert grid.told == (1.1, -0.3)
    assert grid.agrees(0, 1.1)
    assert grid.agrees(1, -1.0)
    assert not grid.agrees(0, 0.9)
    assert grid.candidates(-0.3) == [1]
    assert grid.candidates(1.0) == [0]
    assert grid.locate(0.9) is None


def test_a_level_that_repeats_has_many_steps_and_the_first_is_taken():
    grid = Grid((1.0, 0.5, 0.5, 0.0))
    assert grid.candidates(0.5) == [1, 2]
    assert grid.locate(0.5) == 1


def test_no_grid_has_no_steps():
    assert NO_GRID.sigmas == ()
    assert not NO_GRID.has(0)
    assert NO_GRID.candidates(1.0) == []


@pytest.mark.parametrize(
    ("level", "sigma", "near"),
    [
        (0.0, 0.0089, True),
        (0.0, 0.0091, False),
        (0.5, 0.504, True),
        (0.5, 0.506, False),
        (1.0, 0.992, True),
        (1.0, 0.990, False),
    ],
)
def test_levels_of_a_time_from_noise_to_data_are_rounded_at_both_ends(level, sigma, near):
    assert is_near(level, sigma, 1.0) is near
