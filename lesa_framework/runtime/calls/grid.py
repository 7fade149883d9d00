"""The source of the sigma grid: levels that the user gave, or a scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol, TypeAlias

from lesa_framework.errors import ConfigError, UnsupportedBackboneError, shown
from lesa_framework.runtime.calls.levels import NO_GRID, Grid
from lesa_framework.runtime.calls.readings import Scheduler, are_levels, is_set, readings_of

#: Every way to read the numbers of a sampler, the likeliest first.
Readings: TypeAlias = tuple[Grid, ...]

#: What to do about a scheduler that is not the caller's.
REMEDY = "accelerate the pipeline that you call, or pass `sigmas=`, the noise levels of your sampler"


class SchedulerOwner(Protocol):
    """A pipeline whose scheduler may be exchanged at any time."""

    scheduler: Scheduler


class GridSource(Protocol):
    """Knows the grid of the run in progress."""

    @property
    def announces_runs(self) -> bool:
        """Whether every new run comes with a new grid."""

    def current(self) -> Readings:
        """The grid; the same object for as long as the sampler keeps it, so that a new one means a new run."""

    def choose(self, level: float, offset: float = 0.0) -> Grid:
        """The reading that agrees with the noise level of a run's first call, see `is_near`."""

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

    def __init__(self, sigmas: Iterable[float]) -> None:
        try:
            levels = tuple(float(sigma) for sigma in sigmas)
        except (TypeError, ValueError):  # notebooks have no type checker
            raise ConfigError(
                f"sigmas: {shown(sigmas)} is no list of noise levels. Give numbers, for example "
                "[1.0, 0.75, 0.5, 0.25, 0.0]."
            ) from None
        if len(levels) < 2 or not (are_levels(levels) and all(a > b for a, b in pairwise(levels))):
            raise ConfigError(_not_falling(levels))
        self._readings = (Grid(levels),)

    def current(self) -> Readings:
        """The grid."""
        return self._readings

    def choose(self, level: float, offset: float = 0.0) -> Grid:  # noqa: ARG002 - the user's word counts
        """The grid."""
        return self._readings[0]

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
    nearly all others the noise level is `timestep / num_train_timesteps`, with 0 after the last. What the model
    receives at its first call tells whether that is so, and else which of the other
    [readings][lesa_framework.runtime.calls.readings.readings_of] is right.

    A scheduler that does not count its steps (DDIM) is followed by the timesteps that the model receives. That
    waits for a GPU, as such a scheduler itself does at every step.

    Args:
        owner: The pipeline.
        is_one_call: Whether it is read during a single call of the pipeline. The same timesteps made anew, by a
            scheduler that does not count its steps, are then those of the call in another thread, not a new run.
    """

    announces_runs = True

    def __init__(self, owner: SchedulerOwner, *, is_one_call: bool = False) -> None:
        self._owner, self._is_one_call = owner, is_one_call
        self._seen: tuple[object, object] = (None, None)
        self._readings: Readings = ()

    def current(self) -> Readings:
        """The grid; a new object whenever the scheduler has made new timesteps, and none before its first ones.

        Raises:
            UnsupportedBackboneError: The scheduler works without noise levels.
        """
        scheduler = self._owner.scheduler
        timesteps, sigmas = getattr(scheduler, "timesteps", None), getattr(scheduler, "sigmas", None)
        if not self._readings or timesteps is not self._seen[0] or sigmas is not self._seen[1]:
            before, self._readings = self._readings, readings_of(scheduler) if is_set(scheduler) else (NO_GRID,)
            if (
                self._is_one_call
                and not hasattr(scheduler, "step_index")
                and _sigmas(before) == _sigmas(self._readings)
            ):
                self._readings = before
            if not self._readings:
                raise UnsupportedBackboneError(
                    f"{type(scheduler).__name__}: it has no noise levels: neither `sigmas` in [0, 1] nor `timesteps` "
                    f"between 0 and `config.num_train_timesteps`. {_another(scheduler)}"
                )
            self._seen = timesteps, sigmas
        return self._readings

    def choose(self, level: float, offset: float = 0.0) -> Grid:
        """The reading that agrees with the noise level of a run's first call.

        Returns:
            A grid; without steps, if the scheduler is not the one that calls.

        Raises:
            UnsupportedBackboneError: No reading agrees.
        """
        readings, index = self.current(), self.hint() or 0
        for exactly in (True, False):
            for grid in readings:
                if grid.agrees(index, level, offset, exactly=exactly):
                    return grid
        # Without the right step the level alone finds it: in the usual units, lest it be chance.
        if readings[0].locate(level, offset) is not None:
            return readings[0]
        if readings[0] is NO_GRID or self._has_stepped():
            return NO_GRID
        scheduler = self._owner.scheduler
        expected = next((f"{grid.told[index]:.4g}" for grid in readings if grid.has(index)), "no step at all")
        raise UnsupportedBackboneError(
            f"{type(scheduler).__name__}: its timesteps are not those of the model: the first call of the run is at "
            f"noise level {level:.4g}, but the scheduler says {expected}. {_another(scheduler)} If another "
            f"scheduler runs this model, {REMEDY}."
        )

    def hint(self) -> int | None:
        """The scheduler's own step index; before its first step, the index at which it will begin."""
        scheduler = self._owner.scheduler
        index: int | None = getattr(scheduler, "step_index", None)
        if index is None:
            index = getattr(scheduler, "begin_index", None)
        return index

    def _has_stepped(self) -> bool:
        """Whether the scheduler is in or after a run: then a call elsewhere is not its own."""
        scheduler = self._owner.scheduler
        return getattr(scheduler, "step_index", None) not in (None, getattr(scheduler, "begin_index", None) or 0)


def _sigmas(readings: Readings) -> list[tuple[float, ...]]:
    return [grid.sigmas for grid in readings]


def _another(scheduler: Scheduler) -> str:
    """What to sample with instead: not the same class, which may only be set in another way."""
    *others, last = (name for name in _SAMPLERS if name != type(scheduler).__name__)
    another = f"another sampler, such as {', '.join(others)} or {last}."
    if getattr(getattr(scheduler, "config", None), "invert_sigmas", None) is True:
        return f"`invert_sigmas` is set, which most models are not made for: leave it out, or use {another}"
    return f"Use {another}"


_SAMPLERS = ("FlowMatchEulerDiscreteScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler")
