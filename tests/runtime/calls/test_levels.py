from __future__ import annotations

import pytest
import torch

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


#: What is told falls by 1, 2 and 4 for each tenth of the level.
LOGARITHM = Grid((0.9, 0.8, 0.7, 0.6, 0.0), (7.0, 6.0, 4.0, 0.0))


@pytest.mark.parametrize(
    ("index", "shift", "told"),
    [(0, 0.0, 0.0), (0, -0.1, -1.0), (0, -0.15, -2.0), (0, -0.3, -7.0), (0, -0.4, -11.0), (0, 0.1, 1.0), (2, 0.1, 2.0)],
)
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_a_shift_of_the_level_becomes_one_of_what_the_model_is_told(index, shift, told, kind):
    assert float(LOGARITHM.told_shift(index, kind(shift))) == pytest.approx(told, abs=1e-5)


def test_a_told_shift_has_the_gradient_of_the_line_that_it_is_on():
    shift = torch.tensor(-0.15, requires_grad=True)
    LOGARITHM.told_shift(0, shift).backward()
    assert float(shift.grad) == pytest.approx(20.0)


@pytest.mark.parametrize("grid", [GRID, Grid((0.5, 0.25, 0.0), (0.499, 0.249), [(0.4, 0.2), (0.5, 0.25)])])
def test_where_levels_are_told_a_shift_stays_as_it_is(grid):
    shift = torch.tensor(-0.1)
    assert grid.told_shift(0, shift) is shift


def test_between_steps_at_one_level_there_is_no_line():
    assert Grid((0.8, 0.8, 0.6, 0.0), (6.0, 6.0, 2.0)).told_shift(0, -0.1) == pytest.approx(-2.0)
    assert Grid((0.8, 0.0), (6.0,)).told_shift(0, -0.1) == 0.0
