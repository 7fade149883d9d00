"""The columns of the tables, on the page and on terminals: what is read from a row, and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lesa_framework.measure import formats
from lesa_framework.measure.results import MetricInfo, Results, Row


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        heading: Its heading.
        title: What it means, shown on hover.
        read: A row's value; None when it has none.
        write: The value for people.
        better: `up` when higher is better, else `down`; the first click on the heading puts the best on top.
    """

    heading: str
    title: str
    read: Callable[[Row], float | None]
    write: Callable[[float], str]
    better: str

    def text(self, row: Row) -> str:
        """What a row's cell shows."""
        value = self.read(row)
        return formats.NOTHING if value is None else self.write(value)


def columns(results: Results) -> list[Column]:
    """The columns in which at least one row has a value; the first is the NFE, which every row has."""
    every = [*_WORK, *(_score(name, info) for name, info in results.metrics.items()), *_COST]
    return [column for column in every if any(column.read(row) is not None for row in results.rows)]


def _score(name: str, info: MetricInfo) -> Column:
    direction = "higher is better" if info.higher_is_better else "lower is better"
    return Column(
        heading=info.heading,
        title=f"{info.summary.rstrip('.')}; {direction}",
        read=lambda row: row.scores.get(name),
        write=lambda value: formats.decimals(value, info.digits),
        better="up" if info.higher_is_better else "down",
    )


#: What a method may do, and what it did.
_WORK = (
    Column("NFE", "Computed steps at which it competes", lambda row: row.nfe, formats.steps, "up"),
    Column("work", "Work that was counted, in uncached steps", lambda row: row.work, formats.steps, "down"),
)
_COST = (
    Column("s / sample", "Median wall time of a sample", lambda row: row.seconds, formats.seconds, "down"),
    Column("speed-up", "The uncached run's seconds divided by these", lambda row: row.speedup, formats.times, "up"),
    Column("FLOPs", "Operations of the transformer for a sample", lambda row: row.flops, formats.operations, "down"),
    Column("cache", "Kept during a run of a batch", lambda row: row.cache_bytes, formats.size, "down"),
    Column("peak memory", "Beyond what was held before the run", lambda row: row.peak_bytes, formats.size, "down"),
)
