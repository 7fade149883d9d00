"""Noise levels of samplers, made by formula."""

from __future__ import annotations


def even_grid(num_steps: int) -> tuple[float, ...]:
    """Noise levels from 1 to 0 in `num_steps` equal steps."""
    return tuple(1 - step / num_steps for step in range(num_steps + 1))


def shifted_grid(steps: int, shift: float) -> tuple[float, ...]:
    """Noise levels from 1 down, shifted towards noise as flow-matching samplers do, and the final 0."""
    return tuple(shift * level / (1 + (shift - 1) * level) for level in even_grid(steps))
