"""Which run, step and branch a call of the model belongs to. Calls are never counted as even and odd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lesa_framework.runtime.grid import Grid, GridSource, is_near


@dataclass(frozen=True)
class Call:
    """One call of the transformer, as its adapter reads it.

    Attributes:
        latent: The current latent.
        condition: What tells branches apart, if the call has it.
        timestep: In the model's units.
        context: The name that the pipeline gave with `cache_context`, if any.
        part: Which of a pipeline's transformers it is; empty for the first.
        noise_level: Works out the noise level in [0, 1] when it is asked for: on a GPU that takes kernels, which a
            call whose scheduler knows its step does without. The timestep itself if None.
    """

    latent: Tensor
    condition: Tensor | None
    timestep: Tensor | float
    context: str | None = None
    part: str = ""
    noise_level: Callable[[], Tensor | float] | None = None

    def sigma(self) -> float:
        """The noise level; synchronises when the timestep lives on another device."""
        # Where each token has a timestep of its own, those of a given frame or picture are without noise.
        level = self.timestep if self.noise_level is None else self.noise_level()
        return float(level.max()) if isinstance(level, Tensor) else float(level)

    @property
    def sigma_is_free(self) -> bool:
        """Whether reading the noise level needs no synchronisation."""
        return not isinstance(self.timestep, Tensor) or self.timestep.device.type == "cpu"


@dataclass(frozen=True)
class Position:
    """Where a call belongs.

    Attributes:
        new_run: The call opens a run.
        grid: The run's grid.
        index: The step, or None when the call's noise level is not on the grid.
        branch: The branch's name.
        branch_index: Its number among its transformer's branches, in order of first appearance.
    """

    new_run: bool
    grid: Grid
    index: int | None
    branch: str
    branch_index: int


@dataclass(eq=False)
class _Branch:
    name: str
    number: int
    part: str
    condition: Tensor | None = None
    context: str | None = None
    latent: Tensor | None = None
    recognised: bool = False  # matched by its conditioning at least once, so order need not tell it


@dataclass
class Tracker:
    """Follows the calls of a sampler's transformer, or of its transformers.

    A run ends when the sampler makes a new grid, when the step goes back, or, without a scheduler, when the noise
    level rises or the step it began with is repeated on another latent. A noise level that is not on the grid
    is a step of its own. Every transformer has branches of its own. A branch is known by the pipeline's
    `cache_context` if there is one, else by its conditioning tensor (the tensor itself, kept alive so that its
    address is not reused), else by its place among the calls of the step before.
    """

    source: GridSource
    _grid: Grid | None = None
    _index: int | None = None
    _level: float | None = None  # of the call before, when it was read
    _first_index: int | None = None
    _branches: list[_Branch] = field(default_factory=list)
    _called: list[_Branch] = field(default_factory=list)  # in this step, in order
    _before: list[_Branch] = field(default_factory=list)  # in the step before

    def locate(self, call: Call) -> Position:
        """Place a call, and remember it."""
        grid = self.source.current()
        index, level = self._step(grid, call)
        new_run = grid is not self._grid or self._restarted(index, level, call)
        if new_run:
            self._grid, self._first_index = grid, index
            self._branches, self._called, self._before = [], [], []
        elif index != self._index or (index is None and self._is_another(level, call)):
            self._called, self._before = [], self._called
        self._index, self._level = index, level
        branch = self._branch(call)
        branch.condition, branch.latent = call.condition, call.latent
        self._called.append(branch)
        return Position(new_run, grid, index, branch.name, branch.number)

    def forget(self) -> None:
        """Let the next call open a run, and release every tensor."""
        self._grid, self._index, self._level = None, None, None
        self._branches, self._called, self._before = [], [], []

    def _step(self, grid: Grid, call: Call) -> tuple[int | None, float | None]:
        """The step, and the noise level where that is read."""
        hint = self.source.hint()
        # Reading costs nothing on a CPU; on a GPU the scheduler is trusted rather than waited for.
        level = call.sigma() if hint is None or call.sigma_is_free else None
        if hint is not None and not 0 <= hint < len(grid.sigmas) - 1:
            return None, level
        if level is None or (hint is not None and grid.agrees(hint, level)):
            return hint, level
        return self._by_level(grid, level, call), level

    def _by_level(self, grid: Grid, level: float, call: Call) -> int | None:
        candidates = grid.candidates(level)
        last = self._index
        if len(candidates) < 2 or grid is not self._grid or last is None:
            return candidates[0] if candidates else None
        # The level repeats: this step continues, or the next one at the same level begins, or the first after it.
        if last in candidates and not (last + 1 in candidates and self._steps_on(call)):
            return last
        return next((index for index in candidates if index > last), candidates[0])

    def _is_another(self, level: float | None, call: Call) -> bool:
        """Whether a call off the grid, after another one, is at a step of its own."""
        if level is None or self._level is None:
            return self._steps_on(call)
        # The timesteps of a step's branches may be rounded differently; so may those of neighbouring steps.
        return not is_near(self._level, level) or self._steps_on(call)

    def _steps_on(self, call: Call) -> bool:
        """Whether a call at the level of the one before belongs to another step, with a latent of its own."""
        if not self._called or any(branch.latent is call.latent for branch in self._called):
            return False
        known = any(branch.part == call.part and self._same(branch, call) for branch in self._called)
        return known or len(self._called) >= len(self._before) > 0

    def _restarted(self, index: int | None, level: float | None, call: Call) -> bool:
        if index is None or self._index is None:
            return not self.source.announces_runs and self._rises(level)
        if index < self._index:
            return True
        # A pipeline's scheduler makes a new grid for a new run; without one, a repeated first step is the only sign.
        return (
            not self.source.announces_runs
            and index == self._first_index
            and bool(self._called)
            and all(branch.latent is not call.latent for branch in self._called)
            and any(self._same(branch, call) for branch in self._called)
        )

    def _rises(self, level: float | None) -> bool:
        if level is None or self._level is None:
            return False
        return level > self._level and not is_near(self._level, level)

    def _branch(self, call: Call) -> _Branch:
        mine = [branch for branch in self._branches if branch.part == call.part]
        # A branch is called once a step: one that comes twice (skip-layer guidance) is two branches.
        free = [branch for branch in mine if branch not in self._called]
        branch = next((branch for branch in free if self._same(branch, call)), None)
        if branch is not None:
            branch.recognised = True
            return branch
        branch = self._by_order(call)
        if branch is None:
            branch = _new_branch(mine, call)
            self._branches.append(branch)
        return branch

    def _by_order(self, call: Call) -> _Branch | None:
        """New conditioning tensors at every step: fall back on the order of calls in the step before."""
        if call.context is not None:
            return None
        called, before = (
            [branch for branch in calls if branch.part == call.part] for calls in (self._called, self._before)
        )
        order = len(called)
        return before[order] if order < len(before) and not before[order].recognised else None

    @staticmethod
    def _same(branch: _Branch, call: Call) -> bool:
        if call.context is not None or branch.context is not None:
            return call.context == branch.context
        if call.condition is None or branch.condition is None:
            return call.condition is branch.condition
        mine, theirs = branch.condition, call.condition
        if mine is theirs:
            return True
        same_memory = mine.data_ptr() == theirs.data_ptr() and mine.shape == theirs.shape
        return same_memory or (theirs.device.type == "cpu" and mine.shape == theirs.shape and torch.equal(mine, theirs))


def _new_branch(others: Sequence[_Branch], call: Call) -> _Branch:
    """A branch of its own, named by the pipeline or numbered; a name that comes twice is numbered too."""
    number = len(others)
    name = call.context or f"branch{number}"
    twins = sum(branch.context == call.context for branch in others) if call.context else 0
    name += f"#{twins + 1}" if twins else ""
    name += f" ({call.part})" if call.part else ""
    return _Branch(name, number, call.part, call.condition, call.context)
