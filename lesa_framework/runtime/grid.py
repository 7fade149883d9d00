"""The source of the sigma grid, and the step to which a call belongs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import torch

from lesa_framework.errors import ConfigError, UnsupportedBackboneError

#: Timesteps reach models rounded to bfloat16, often twice (the timestep, then a thousandth of it): 0.4 % each.
_TOLERANCE = 0.009
#: Schedulers compute their grids in float32.
_ROUNDING = 1e-6

#: A diffusers scheduler. The classes share no attribute that all of them have, so `SchedulerGrid` asks for each.
Scheduler: TypeAlias = Any


class SchedulerOwner(Protocol):
    """A pipeline whose scheduler may be exchanged at any time."""

    scheduler: Scheduler


class Grid:
    """The current grid: one noise level for each call of a branch, and the final one, usually 0.

    Args:
        sigmas: The levels, `num_steps + 1` of them. They fall, except that samplers with two calls a step repeat some.
        told: The levels as the model receives them at each step; a few schedulers round their timesteps.
            By default the levels themselves.
    """

    def __init__(self, sigmas: tuple[float, ...], told: tuple[float, ...] | None = None) -> None:
        self.sigmas = sigmas
        self._told = sigmas[:-1] if told is None else told

    def locate(self, sigma: float) -> int | None:
        """The step whose noise level is nearest, the first of them if it repeats; None when none is near."""
        return next(iter(self.candidates(sigma)), None)

    def candidates(self, sigma: float) -> list[int]:
        """Every step at the nearest noise level; none when that is not near."""
        nearest = min(self._told, key=lambda told: abs(told - sigma), default=None)
        if nearest is None or not is_near(nearest, sigma):
            return []
        return [index for index, told in enumerate(self._told) if told == nearest]

    def agrees(self, index: int, sigma: float) -> bool:
        """Whether `sigma` is step `index`'s noise level, up to the rounding of timesteps."""
        return is_near(self._told[index], sigma)


def is_near(level: float, sigma: float) -> bool:
    """Whether two noise levels are one, up to the rounding of timesteps."""
    return abs(level - sigma) <= _TOLERANCE * max(level, 0.02)


class GridSource(Protocol):
    """Knows the grid of the run in progress."""

    @property
    def announces_runs(self) -> bool:
        """Whether every new run comes with a new grid."""

    def current(self) -> Grid:
        """The grid; the same object for as long as the sampler keeps it, so that a new one means a new run."""

    def hint(self) -> int | None:
        """The step in progress, if the sampler knows it."""


class FixedGrid:
    """A grid given by the user, for transformers without a pipeline.

    Args:
        sigmas: Noise levels in [0, 1] from the noisiest to the final one, usually 0.

    Raises:
        ConfigError: They are not strictly falling numbers in [0, 1].
    """

    announces_runs = False

    def __init__(self, sigmas: Sequence[float]) -> None:
        levels = tuple(float(sigma) for sigma in sigmas)
        if not (_are_levels(levels) and all(a > b for a, b in pairwise(levels))):
            raise ConfigError(_not_falling(levels))
        self._grid = Grid(levels)

    def current(self) -> Grid:
        """The grid."""
        return self._grid

    def hint(self) -> int | None:
        """Unknown."""
        return None


def _not_falling(levels: Sequence[float]) -> str:
    message = (
        "sigmas: noise levels fall strictly, from at most 1 to the final 0, for example [1.0, 0.75, 0.5, 0.25, 0.0]."
    )
    repeated = next((a for a, b in pairwise(levels) if a == b), None)
    if repeated is not None:
        message += (
            f" {repeated:g} comes twice. Give every level once; for a sampler with two calls a step (Heun), accelerate "
            "a pipeline whose scheduler counts its steps, without `sigmas`."
        )
    if any(level > 1 for level in levels):
        message += " Timesteps of 0 to 1000 have to be divided by 1000."
    return message


class SchedulerGrid:
    """The grid of a pipeline's scheduler, read afresh at every call.

    Flow-matching schedulers have noise levels in [0, 1], their `sigmas`, and those are the grid, bit for bit. For
    all others the noise level is `timestep / num_train_timesteps`, with 0 after the last. Where either rises, as it
    does with `invert_sigmas`, the noise level is 1 less that.

    A scheduler that does not count its steps (DDIM) is followed by the timesteps that the model receives. That
    waits for a GPU, as such a scheduler itself does at every step.
    """

    announces_runs = True

    def __init__(self, owner: SchedulerOwner) -> None:
        self._owner = owner
        self._seen: tuple[object, object] = (None, None)
        self._grid = Grid(())

    def current(self) -> Grid:
        """The grid; a new object whenever the scheduler has made new timesteps.

        Raises:
            UnsupportedBackboneError: The scheduler works without noise levels.
        """
        scheduler = self._owner.scheduler
        timesteps, sigmas = getattr(scheduler, "timesteps", None), getattr(scheduler, "sigmas", None)
        if not self._grid.sigmas or timesteps is not self._seen[0] or sigmas is not self._seen[1]:
            self._grid = _read_grid(scheduler, _numbers(timesteps), _numbers(sigmas))
            self._seen = timesteps, sigmas
        return self._grid

    def hint(self) -> int | None:
        """The scheduler's own step index; before its first step, the index at which it will begin."""
        scheduler = self._owner.scheduler
        index: int | None = getattr(scheduler, "step_index", None)
        if index is None:
            index = getattr(scheduler, "begin_index", None)
        return index


def _read_grid(scheduler: Scheduler, timesteps: tuple[float, ...], sigmas: tuple[float, ...]) -> Grid:
    scale = getattr(getattr(scheduler, "config", None), "num_train_timesteps", None)
    if timesteps and scale:
        told = tuple(timestep / scale for timestep in timesteps)
        if told[0] < told[-1]:  # Mochi and OmniGen count from 0, noise, to 1
            told, sigmas = _inverted(told), _inverted(sigmas)
        # Some schedulers cut their timesteps to whole numbers.
        if len(sigmas) == len(told) + 1 and all(
            abs(sigma - level) * scale <= 1 for sigma, level in zip(sigmas, told, strict=False)
        ):
            return Grid(sigmas, told)
        if _are_levels(told):
            return Grid((*told, 0.0), told)
    elif sigmas and _are_levels(sigmas):
        return Grid(sigmas)
    raise UnsupportedBackboneError(
        f"{type(scheduler).__name__}: it has no noise levels: neither `sigmas` in [0, 1] nor `timesteps` between 0 and "
        "`config.num_train_timesteps`. Use another sampler, such as FlowMatchEulerDiscreteScheduler, "
        "DDIMScheduler or DPMSolverMultistepScheduler."
    )


def _inverted(levels: Sequence[float]) -> tuple[float, ...]:
    return tuple(1 - level for level in levels)


def _numbers(values: object) -> tuple[float, ...]:
    return () if values is None else tuple(torch.as_tensor(values).detach().to("cpu", torch.float64).tolist())


def _are_levels(levels: Sequence[float]) -> bool:
    return all(0 <= level <= 1 + _ROUNDING for level in levels)
