"""A table of filters, one for each predicted step and branch, and how a step finds its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from torch import Tensor

from lesa_framework import EntryInfo, HistoryView, StepContext

_Step = Annotated[int, Field(ge=0, le=10_000)]
_Name = Annotated[str, Field(max_length=100)]


#: The name of the tensor that tunes computed steps.
TUNING: Final = "tuning"
#: How many numbers tune a computed step of a branch.
NUMBERS: Final = 3


@dataclass(frozen=True)
class TableShape:
    """What the filters read.

    Attributes:
        num_steps: T, steps of the grid they were fitted on.
        computed: The steps that were computed, rising, the first one 0.
        depth: K, how many features a filter reads of each branch.
        branches: Names of the branches, in the order in which they are called.
        reads: Features of the filter's own branch, or of all branches.
        records: Whether histories held computed features alone, or all.
    """

    num_steps: Annotated[int, Field(ge=1, le=10_000)]
    computed: Annotated[tuple[_Step, ...], Field(min_length=1, max_length=10_000)]
    depth: Annotated[int, Field(ge=1, le=10_000)]
    branches: Annotated[tuple[_Name, ...], Field(min_length=1, max_length=64)]
    reads: Literal["own", "all"] = "own"
    records: Literal["all", "computed"] = "computed"

    @property
    def sources(self) -> int:
        """How many histories a filter reads."""
        return len(self.branches) if self.reads == "all" else 1

    @property
    def longest(self) -> int:
        """How many features a history can hold in the run of the fit."""
        return len(self.computed) if self.records == "computed" else self.num_steps

    @property
    def size(self) -> tuple[int, int, int, int]:
        """Of the table: (steps, branches, sources, depth)."""
        return self.num_steps, len(self.branches), self.sources, self.depth

    @property
    def tuning_size(self) -> tuple[int, int, int]:
        """Of what tunes computed steps: (steps, branches, `NUMBERS`).

        A shift of the noise level, what is added to 1 for the latent's factor, and how far ahead the model is asked.
        """
        return self.num_steps, len(self.branches), NUMBERS

    def as_json(self) -> dict[str, Any]:
        """For an artifact's metadata."""
        return asdict(self)

    def entries(self, step: int) -> tuple[int, ...]:
        """Steps of the features that a history holds when `step` begins, newest first."""
        held = range(step) if self.records == "all" else [each for each in self.computed if each < step]
        return tuple(reversed(held))[: self.depth]

    def end(self, step: int) -> int:
        """The next computed step after `step`, or T."""
        return next((each for each in self.computed if each > step), self.num_steps)


@dataclass(frozen=True)
class Place:
    """Where a step of a run is in the table.

    Attributes:
        step: The row.
        order: For each feature that the row has a weight for, the number in the run's history of the one that gets it.
    """

    step: int
    order: tuple[int, ...]


def find_place(
    shape: TableShape, sigmas: Sequence[float], same: bool, entries: Sequence[EntryInfo], ctx: StepContext
) -> Place | None:
    """The row for a step of a run.

    On the grid of the fit it is the step's own, and its weights belong to the features of the same steps, wherever
    these are in the history. On another grid, intervals between computed steps correspond by noise level: the row is
    that of the interval which began nearest to the newest computed feature, and in it the nearest noise level. Weights
    go to features in turn. Where computed noise levels are one step of the run's grid, the interval is that of the last
    of them, and the weights of all go to the one feature.

    A feature that has a weight may not be held: the run began later, as in image-to-image, or a step that the schedule
    did not foresee took a place in the history. On the grid of the fit its weight goes to the nearest that is held; on
    another grid, where an unforeseen feature takes its turn, what is left goes to the oldest. Then the weights still
    add up to what they did.

    Args:
        shape: Of the table.
        sigmas: The grid of the fit.
        same: Whether the run has the same grid.
        entries: Of one of the histories that the filter reads, newest first.
        ctx: The step.

    Returns:
        None where the fit predicted nothing: at a step that it computed, and in an interval that has no other.
    """
    if same and ctx.index in shape.computed:
        return None
    if same:
        held = [entry.step for entry in entries]
        return Place(ctx.index, tuple(_nearest(held, step) for step in shape.entries(ctx.index)))
    held, own = [entry.step for entry in entries], _moved(shape, tuple(sigmas), ctx.sigmas)
    near = min(shape.computed, key=lambda step: abs(sigmas[step] - ctx.sigmas[held[0]]))
    start = max((step for step in shape.computed if own[step] == held[0]), default=near)
    rows = range(start + 1, shape.end(start))
    if not rows:
        return None
    order = [0]
    for newer, step in pairwise(shape.entries(start + 1)):
        is_one = own.get(newer) == own.get(step) == held[order[-1]]
        order.append(min(order[-1] + (not is_one), len(held) - 1))
    return Place(min(rows, key=lambda step: abs(sigmas[step] - ctx.sigma)), tuple(order))


@lru_cache(32)
def _moved(shape: TableShape, sigmas: Sequence[float], grid: Sequence[float]) -> dict[int, int]:
    """The step of another grid that each computed step moves to, as its noise level is nearest."""
    run = range(len(grid) - 1)
    return {step: min(run, key=lambda each: abs(grid[each] - sigmas[step])) for step in shape.computed}


def _nearest(held: Sequence[int], step: int) -> int:
    """The number of a step, or of the nearest, in a list."""
    return held.index(step) if step in held else min(range(len(held)), key=lambda number: abs(held[number] - step))


def spread(row: Sequence[float], order: Sequence[int]) -> tuple[float, ...]:
    """A row's weights at the places of their features, added up where these are one; 0 where it has none."""
    weights = [0.0] * (max(order, default=-1) + 1)
    for weight, number in zip(row, order, strict=False):
        weights[number] += weight
    return tuple(weights)


def features_for(shape: TableShape, history: HistoryView, ctx: StepContext) -> list[Tensor]:
    """The features that a step's row has weights for: of its branch, or of each branch in turn, newest first.

    Args:
        shape: Of the table.
        history: The step's branch's history.
        ctx: The step.
    """
    count = len(shape.entries(ctx.index))
    if shape.reads == "own":
        return [history.feature(k) for k in range(count)]
    views = [history if name == ctx.branch else history.branches[name] for name in shape.branches]
    return [view.feature(k) for view in views for k in range(count)]


def names_of(ctx: StepContext) -> Mapping[str, tuple[EntryInfo, ...]]:
    """What all branches' histories hold, this one's included."""
    return {**ctx.others, ctx.branch: ctx.entries}
