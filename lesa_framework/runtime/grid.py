"""Where the sigma grid comes from, and which step of it a call belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from lesa_framework.errors import ConfigError, UnsupportedBackboneError

#: Timesteps reach models rounded to bfloat16, half a percent at worst.
_TOLERANCE = 0.006
#: Schedulers compute their grids in float32.
_ROUNDING = 1e-6


class Scheduler(Protocol):
    """The part of a diffusers scheduler that is read; it is never written to."""

    sigmas: Tensor

    @property
    def step_index(self) -> int | None:
        """Index of the step in progress; None before the first."""

    @property
    def begin_index(self) -> int | None:
        """Index of the first step, when the pipeline set it."""


class SchedulerOwner(Protocol):
    """A pipeline: its scheduler may be exchanged at any time."""

    scheduler: Scheduler


class Grid:
    """The current grid: `num_steps + 1` noise levels, the final 0 included."""

    def __init__(self, sigmas: tuple[float, ...]) -> None:
        self.sigmas = sigmas

    def locate(self, sigma: float) -> int | None:
        """The step whose noise level is nearest; None when none is near."""
        index = min(range(len(self.sigmas) - 1), key=lambda i: abs(self.sigmas[i] - sigma), default=None)
        return index if index is not None and self.agrees(index, sigma) else None

    def agrees(self, index: int, sigma: float) -> bool:
        """Whether `sigma` is step `index`'s noise level, up to the rounding of timesteps."""
        return abs(self.sigmas[index] - sigma) <= _TOLERANCE * max(self.sigmas[index], 0.02)


class GridSource(Protocol):
    """Tells the grid of the run in progress."""

    def current(self) -> Grid:
        """The grid; the same object for as long as the sampler keeps it, so that a new one means a new run."""

    def hint(self) -> int | None:
        """The step in progress, when the sampler knows."""


class FixedGrid:
    """A grid given by the user, for transformers without a pipeline.

    Args:
        sigmas: Noise levels in [0, 1] from the noisiest to the final one, usually 0.

    Raises:
        ConfigError: They are not falling numbers in [0, 1].
    """

    def __init__(self, sigmas: Sequence[float]) -> None:
        levels = tuple(float(sigma) for sigma in sigmas)
        if not (all(0 <= level <= 1 + _ROUNDING for level in levels) and all(a > b for a, b in pairwise(levels))):
            raise ConfigError(
                "sigmas: noise levels fall from at most 1 to the final 0, for example [1.0, 0.75, 0.5, 0.25, 0.0]. "
                "Timesteps of 0 to 1000 have to be divided by 1000."
            )
        self._grid = Grid(levels)

    def current(self) -> Grid:
        """The grid."""
        return self._grid

    def hint(self) -> int | None:
        """Nobody knows."""
        return None


class SchedulerGrid:
    """The grid of a pipeline's scheduler, read afresh at every call."""

    def __init__(self, owner: SchedulerOwner) -> None:
        self._owner = owner
        self._seen: Tensor | None = None
        self._grid = Grid(())

    def current(self) -> Grid:
        """The grid; a new object whenever the scheduler made itself new sigmas.

        Raises:
            UnsupportedBackboneError: The scheduler works without noise levels.
        """
        try:
            sigmas = self._owner.scheduler.sigmas
        except AttributeError as error:
            raise UnsupportedBackboneError(
                f"{type(self._owner.scheduler).__name__}: it has no noise levels (`sigmas`). "
                "Use a sampler over sigmas, such as FlowMatchEulerDiscreteScheduler."
            ) from error
        if sigmas is not self._seen:
            self._seen = sigmas
            self._grid = Grid(tuple(sigmas.detach().to("cpu", torch.float64).tolist()))
        return self._grid

    def hint(self) -> int | None:
        """The scheduler's own step index; before its first step, where it was told to begin."""
        scheduler = self._owner.scheduler
        return scheduler.step_index if scheduler.step_index is not None else scheduler.begin_index
