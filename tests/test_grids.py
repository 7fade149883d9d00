from __future__ import annotations

import pytest

from lesa_framework.grids import even_grid, shifted_grid


def test_shifted_grid():
    assert shifted_grid(4, 1.0) == (1.0, 0.75, 0.5, 0.25, 0.0)
    assert shifted_grid(2, 3.0) == (1.0, 0.75, 0.0)


@pytest.mark.parametrize("num_steps", [1, 7, 50])
def test_a_grid_without_shift_is_even_to_the_last_bit(num_steps):
    assert shifted_grid(num_steps, 1.0) == even_grid(num_steps)
