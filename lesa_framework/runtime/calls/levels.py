"""Noise levels: a run's grid, and the step to which a level belongs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

#: Timesteps reach models rounded to bfloat16, often twice (the timestep, then a thousandth of it): 0.4 % each.
_TOLERANCE = 0.009
#: Schedulers compute their grids in float32.
_ROUNDING = 1e-6


class Grid:
    """The grid of a run: one noise level for each call of a branch, and the final one, usually 0.

    Args:
        sigmas: The levels, `num_steps + 1` of them. They fall, except that samplers with two calls a step repeat some.
        told: What the model receives at each step, as its adapter reads it, a level in most models. By default the
            levels themselves.
        variants: Other numbers that the model may receive at each step instead: a few schedulers and pipelines round.
    """

    def __init__(
        self,
        sigmas: tuple[float, ...],
        told: tuple[float, ...] | None = None,
        variants: Sequence[tuple[float, ...]] = (),
    ) -> None:
        self.sigmas = sigmas
        self.told = sigmas[:-1] if told is None else told
        self._variants = variants

    def locate(self, sigma: float, offset: float = 0.0) -> int | None:
        """The step whose noise level is nearest, the first of them if it repeats; None when none `is_near`."""
        return next(iter(self.candidates(sigma, offset)), None)

    def candidates(self, sigma: float, offset: float = 0.0) -> list[int]:
        """Every step at the nearest noise level; none when that is not near, see `is_near`."""
        for levels in (self.told, *self._variants):
            nearest = min(levels, key=lambda level: abs(level - sigma), default=None)
            if nearest is not None and is_near(nearest, sigma, offset):
                return [index for index, level in enumerate(levels) if level == nearest]
        return []

    def has(self, index: int | None) -> bool:
        """Whether it is one of the grid's steps."""
        return index is not None and 0 <= index < len(self.told)

    def agrees(self, index: int, sigma: float, offset: float = 0.0, *, exactly: bool = False) -> bool:
        """Whether `sigma` is step `index`'s noise level: `is_near` to it, or `is_same`."""
        near = is_same if exactly else partial(is_near, offset=offset)
        if not self.has(index):
            return False
        return near(self.told[index], sigma) or any(near(told[index], sigma) for told in self._variants)

    def told_shift(self, index: int, shift: float | Tensor) -> float | Tensor:
        """A change of a step's noise level as a change of what the model is told at it.

        Some samplers tell no level, but a number that falls with it. Then it is interpolated between the steps; beyond
        them the line goes on. A run of one step shows no line, so nothing changes there.

        Args:
            index: The step.
            shift: Added to its noise level.
        """
        if self.sigmas[:-1] in (self.told, *self._variants):
            return shift
        steps = [step for step in range(len(self.told) - 1) if self.sigmas[step] > self.sigmas[step + 1]]
        if not steps:
            return 0.0
        goal = self.sigmas[index] + shift
        reached = float(goal.detach() if isinstance(goal, Tensor) else goal)
        at = next((step for step in reversed(steps) if self.sigmas[step] >= reached), steps[0])
        slope = (self.told[at + 1] - self.told[at]) / (self.sigmas[at + 1] - self.sigmas[at])
        return self.told[at] - self.told[index] + slope * (goal - self.sigmas[at])


#: Of a run whose sampler is not known: no call has a step.
NO_GRID = Grid(())


def is_near(level: float, sigma: float, offset: float = 0.0) -> bool:
    """Whether two noise levels are one, up to the rounding of timesteps.

    Args:
        level: One.
        sigma: The other.
        offset: The level at timestep 0. Numbers near 0 are rounded by little, so a timestep that counts from noise to
            data is exact where noise is most, and coarse where there is none.
    """
    return abs(level - sigma) <= _TOLERANCE * max(abs(level), abs(level - offset), 0.02)


def is_same(level: float, sigma: float) -> bool:
    """Whether two noise levels are one in float32."""
    return abs(level - sigma) <= _ROUNDING * max(abs(level), 1.0)
