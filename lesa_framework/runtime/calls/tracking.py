"""Which run, step and branch a call of the model belongs to. Calls are never counted as even and odd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lesa_framework.errors import UnsupportedBackboneError
from lesa_framework.runtime.calls.call import Branches, Call
from lesa_framework.runtime.calls.grid import REMEDY, GridSource, Readings
from lesa_framework.runtime.calls.levels import NO_GRID, Grid, is_near, is_same
from lesa_framework.warning import warn

#: Two steps at which the scheduler was right, so that it is no chance; two levels at which it was not.
_ENOUGH = 2


@dataclass(slots=True)  # not frozen, as what follows: one is made in every call, and that takes longer
class Position:
    """Where a call belongs.

    Attributes:
        new_run: The call opens a run.
        grid: The run's grid; without steps where the sampler is not known.
        index: The step, or None when the call's noise level is not on the grid.
        branch: The branch's name.
        branch_index: Its number among its transformer's branches, in order of first appearance; several may share one.
    """

    new_run: bool
    grid: Grid
    index: int | None
    branch: str
    branch_index: int


@dataclass(slots=True)
class Located:
    """Where the parts of a call's batch belong.

    Attributes:
        parts: In the batch's order.
        order: In which order they are worked on.
    """

    parts: tuple[Position, ...]
    order: tuple[int, ...] = (0,)

    @property
    def new_run(self) -> bool:
        """Whether the call opens a run, with the first part that is worked on."""
        return self.parts[self.order[0]].new_run


class Locator(Protocol):
    """Places calls."""

    def positions(self, call: Call) -> Located:
        """Place a call, and remember it."""

    def forget(self) -> None:
        """Let the next call open a run, and release every tensor."""


@dataclass(slots=True)
class _Place:
    """What is known of the call before.

    Attributes:
        index: Its step.
        last: The step of the last call of the run that had one.
        level: Its noise level, if that was read.
        hint: What the scheduler said.
    """

    index: int | None = None
    last: int | None = None
    level: float | None = None
    hint: int | None = None


@dataclass
class Tracker:
    """Follows the calls of a sampler's transformer, or of its transformers.

    A run ends when the sampler makes a new grid, when the step goes back, or, without a scheduler, when the noise
    level rises or the step it began with is repeated on another latent. A noise level that is not on the grid
    is a step of its own.

    On a GPU a scheduler that counts its steps is believed once it was right at two of them; until then, and when it
    stands still while the latent changes, the noise level is read. A scheduler that is wrong is not the caller's: then
    the calls are followed by their own levels. If these are not on its grid either, it is given up, calls are computed
    without a grid, and `refused` or a warning says so.

    Args:
        source: Knows the sampler's grid.
        refused: Called with why the sampler cannot be followed; its calls are then computed, without a grid. By
            default that is an error.
    """

    source: GridSource
    refused: Callable[[str], None] | None = None
    _readings: Readings | None = None
    _grid: Grid = NO_GRID
    _before: _Place = field(default_factory=_Place)
    _first_index: int | None = None
    _agreed: set[int] = field(default_factory=set)  # steps of which the scheduler was right
    _strays: list[float] = field(default_factory=list)  # levels that are not on the grid
    _branches: Branches = field(default_factory=Branches)
    _warned: bool = False

    def positions(self, call: Call) -> Located:
        """`locate`; the whole batch is one branch."""
        return Located((self.locate(call),))

    def locate(self, call: Call) -> Position:
        """Place a call, and remember it.

        Raises:
            UnsupportedBackboneError: The scheduler has no noise levels, or its timesteps are not those of the model.
        """
        renewed = self._renew(call)
        hint = self.source.hint()
        index, level = self._step(hint, call)
        given_up = self._gives_up(index, level, call)
        new_run = renewed or given_up or self._restarted(hint, index, level, call)
        before = _Place() if new_run else self._before
        if new_run:
            self._first_index, self._branches = index, Branches()
        elif index != before.index or (index is None and self._is_another(call)):
            self._branches.end_step()
        self._before = _Place(index, before.last if index is None else index, level, hint)
        branch = self._branches.take(call)
        return Position(new_run, self._grid, index, branch.name, branch.number)

    def forget(self) -> None:
        """Let the next call open a run, and release every tensor."""
        self._readings, self._grid, self._before = None, NO_GRID, _Place()
        self._agreed, self._strays, self._branches = set(), [], Branches()

    def _renew(self, call: Call) -> bool:
        """Take the sampler's grid if it is a new one, or if a scheduler that was given up is right again."""
        readings, grid = self._read(call)
        if readings is not self._readings:
            self.forget()
            self._readings, self._grid = readings, grid
            return True
        if self._grid is not NO_GRID:
            return False
        hint = self.source.hint()
        if hint is None or hint == self._before.hint:
            return False
        self._grid = next((grid for grid in readings if grid.agrees(hint, call.sigma, call.offset)), NO_GRID)
        return self._grid is not NO_GRID

    def _read(self, call: Call) -> tuple[Readings, Grid]:
        """What the sampler shows, and the grid; nothing and none where it cannot be followed."""
        readings: Readings = ()
        try:
            readings = self.source.current()
            is_old = readings is self._readings
            return readings, self._grid if is_old else self.source.choose(call.sigma, call.offset)
        except UnsupportedBackboneError as error:
            if self.refused is None:
                raise
            self.refused(f"a run is computed, every step of it. {error}")
            self._warned = True  # to give it up later needs no second word
            return readings, NO_GRID

    def _step(self, hint: int | None, call: Call) -> tuple[int | None, float | None]:
        """The step, and the noise level where that is read."""
        if hint is not None and self._grid.has(hint):
            # Reading costs nothing on a CPU; on a GPU the scheduler is trusted rather than waited for.
            if not call.sigma_is_free and self._is_trusted(hint, call):
                return hint, None
            if self._grid.agrees(hint, call.sigma, call.offset) and not self._is_chance(hint, call):
                self._agreed.add(hint)
                self._strays.clear()
                return hint, call.sigma
            self._agreed.clear()
        return self._by_level(call.sigma, call), call.sigma

    def _is_trusted(self, hint: int, call: Call) -> bool:
        if hint in self._agreed and self._branches.share(call.latent):
            return True
        stands_still = hint == self._before.hint and self._branches.steps_on(call)
        return len(self._agreed) >= _ENOUGH and not stands_still

    def _is_chance(self, hint: int, call: Call) -> bool:
        """Whether the scheduler stands still while the calls, which are at its step now, come from or go to another."""
        return hint == self._before.hint and (self._before.index not in (None, hint) or self._is_beyond(call))

    def _by_level(self, level: float, call: Call) -> int | None:
        candidates, last = self._candidates(level, call), self._before.index
        if len(candidates) < 2 or last is None:
            return candidates[0] if candidates else None
        # The level repeats: this step continues, or the next one at the same level begins, or the first after it.
        if last in candidates and not (last + 1 in candidates and self._branches.steps_on(call)):
            return last
        return next((index for index in candidates if index > last), candidates[0])

    def _candidates(self, level: float, call: Call) -> list[int]:
        candidates, last = self._grid.candidates(level, call.offset), self._before.index
        if last is None or last not in candidates or not self._is_beyond(call):
            return candidates
        return [index for index in candidates if index > last]  # near that step, and yet beyond it

    def _gives_up(self, index: int | None, level: float | None, call: Call) -> bool:
        """Give up a scheduler that was wrong twice: whether this call begins a run without a grid."""
        if not self.source.announces_runs or index is not None or level is None:
            return False
        if not any(is_near(stray, level, call.offset) for stray in self._strays):
            self._strays.append(level)
        if len(self._strays) < _ENOUGH:
            return False
        if not self._warned:
            self._warned = True
            if self.refused is None:
                warn(_GIVEN_UP.format(levels=", ".join(f"{stray:.4g}" for stray in self._strays)))
            else:  # the same words for every grid, so that a log has them once
                self.refused(
                    "a run is computed, every step of it. The scheduler of the pipeline does not run this model."
                )
        known, self._grid = self._grid, NO_GRID
        return known is not NO_GRID

    def _is_another(self, call: Call) -> bool:
        """Whether a call off the grid, after another one, is at a step of its own."""
        level = self._before.level
        # The timesteps of a step's branches may be rounded differently; so may those of neighbouring steps.
        is_elsewhere = level is None or not is_near(level, call.sigma, call.offset)
        return is_elsewhere or self._is_beyond(call) or self._branches.steps_on(call)

    def _restarted(self, hint: int | None, index: int | None, level: float | None, call: Call) -> bool:
        before = self._before
        if index is None or before.index is None:
            if index is not None and before.last is not None and index < before.last:
                return True
            return self._rises(level, call) and not (self.source.announces_runs and self._grid.has(hint))
        if index < before.index:
            return True
        # A pipeline's scheduler makes a new grid for a new run; without one, a repeated first step is the only sign.
        followed = self.source.announces_runs and hint in (None, index)
        return not followed and index == self._first_index and self._branches.repeats(call)

    def _rises(self, level: float | None, call: Call) -> bool:
        if level is None or self._before.level is None:
            return False
        return level > self._before.level and not is_near(self._before.level, level, call.offset)

    def _is_beyond(self, call: Call) -> bool:
        """Whether a call has a lower noise level than the one before, however little, and a latent of its own."""
        level = self._before.level
        if level is None or self._branches.share(call.latent):
            return False
        return call.sigma < level and not is_same(level, call.sigma)


_GIVEN_UP = (
    f"accelerate: the pipeline's scheduler does not run this model (calls came at noise levels {{levels}}, which are "
    f"not its steps), so nothing is cached. To cache, {REMEDY}."
)
