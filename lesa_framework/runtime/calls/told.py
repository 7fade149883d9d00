"""Where the calls of a program belong that says so itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from lesa_framework.errors import PluginContractError
from lesa_framework.interfaces.host import HostCall
from lesa_framework.runtime.calls.call import Call
from lesa_framework.runtime.calls.grid import FixedGrid
from lesa_framework.runtime.calls.levels import NO_GRID, Grid
from lesa_framework.runtime.calls.tracking import Located, Position


@dataclass
class HostTracker:
    """Places the calls of one run as the host tells; nothing is guessed."""

    _sigmas: tuple[float, ...] | None = None
    _grid: Grid = NO_GRID
    _index: int | None = None
    _called: set[str] = field(default_factory=set)  # in this step
    _numbers: dict[str, int] = field(default_factory=dict)

    def positions(self, call: Call) -> Located:
        """Where the parts of a call belong, in the batch's order, and the order in which they are worked on.

        Raises:
            ConfigError: The noise levels are not valid.
            PluginContractError: The host names a step that is not on its grid, or no branch.
        """
        told = call.told
        assert told is not None  # the attachment asked the host
        _check(told)
        order = _order(told)
        new_run = told.sigmas != self._sigmas
        if new_run:
            grid = FixedGrid(told.sigmas).current()[0] if told.sigmas else NO_GRID
            self.forget()
            self._sigmas, self._grid = told.sigmas, grid
            self._numbers = {name: number for number, name in enumerate(told.sequence)}
        if told.index != self._index or told.index is None:
            self._called = set()
        self._index = told.index
        names = {place: self._name(told.branches[place]) for place in order}
        index = told.index if told.sigmas else None
        parts = tuple(
            Position(new_run and place == order[0], self._grid, index, names[place], self._numbers[names[place]])
            for place in range(len(names))
        )
        return Located(parts, order)

    def forget(self) -> None:
        """Let the next call open a run."""
        self._sigmas, self._grid, self._index = None, NO_GRID, None
        self._called, self._numbers = set(), {}

    def _name(self, branch: str) -> str:
        number, name = 1, branch
        while name in self._called:
            number += 1
            name = f"{branch}#{number}"
        self._called.add(name)
        if name not in self._numbers:
            self._numbers[name] = self._number(branch)
        return name

    def _number(self, branch: str) -> int:
        """`cond#2` and `cond.2` get the number of `cond`: weights are fitted with one prompt of each kind."""
        known = self._numbers
        return known.get(branch, known.get(branch.partition(".")[0], max(known.values(), default=-1) + 1))


def _order(told: HostCall) -> tuple[int, ...]:
    """The places of the parts in the batch, in the order in which they are worked on."""
    numbers = {name: number for number, name in enumerate(told.sequence)}
    places = range(len(told.branches))
    return tuple(sorted(places, key=lambda place: numbers.get(told.branches[place], len(numbers))))


def _check(told: HostCall) -> None:
    if not told.branches:
        raise PluginContractError("host: it named no branch. Name one for each equal part of the batch.")
    if told.index is not None and told.sigmas and not 0 <= told.index < len(told.sigmas) - 1:
        raise PluginContractError(
            f"host: step {told.index} is not on the grid, which has steps 0 to {len(told.sigmas) - 2}. Give None for "
            "a call at a noise level that is not on it."
        )
