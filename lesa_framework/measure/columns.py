"""The columns of the tables, on the page and on terminals: what is read from a row, and how numbers are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lesa_framework.measure.details import MetricInfo
from lesa_framework.measure.results import ALWAYS, Kind, Results, Row
from lesa_framework.words import steps

#: Shown where nothing was measured.
NOTHING = "–"
#: Before times that are noisy.
NOISY = "~"
_MINUS = "−"
#: How the speed-up is computed, for a line below the tables.
SPEEDUP = "Uncached seconds over the row's, batch by batch; the median"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        heading: Its heading.
        title: What it means, shown on hover.
        read: A row's value; None when it has none.
        write: The value for people.
        better: `up` when higher is better, else `down`; the first click on the heading puts the best on top.
        is_noisy: Whether a row's value comes from times that are noisy; it is marked then. None for all but times.
    """

    heading: str
    title: str
    read: Callable[[Row], float | None]
    write: Callable[[float], str]
    better: str
    is_noisy: Callable[[Row], bool] | None = None

    def text(self, row: Row) -> str:
        """What a row's cell shows."""
        value = self.read(row)
        if value is None:
            return NOTHING
        return f"{NOISY if self.is_noisy and self.is_noisy(row) else ''}{self.write(value)}"


def columns(results: Results) -> list[Column]:
    """The columns in which at least one row has a value; the first is the NFE, which every row has."""
    every = [*_WORK, *(_score(name, info) for name, info in results.metrics.items()), *_COST]
    return [column for column in every if _is_measured(column, results)]


def explained(results: Results) -> list[tuple[Column, MetricInfo]]:
    """The columns of scores that not everybody knows, for a sentence below the tables."""
    unusual = [(_score(name, info), info) for name, info in results.metrics.items() if name not in ALWAYS]
    return [(column, info) for column, info in unusual if _is_measured(column, results)]


def _is_measured(column: Column, results: Results) -> bool:
    return any(column.read(row) is not None for row in results.rows)


def _score(name: str, info: MetricInfo) -> Column:
    direction = "higher is better" if info.higher_is_better else "lower is better"
    return Column(
        heading=info.heading,
        title=f"{info.summary.rstrip('.')}; {direction}",
        read=lambda row: row.scores.get(name),
        write=lambda value: decimals(value, info.digits),
        better="up" if info.higher_is_better else "down",
    )


def decimals(value: float, digits: int) -> str:
    """A number with a given number of decimals, and a real minus sign."""
    return f"{value:.{digits}f}".replace("-", _MINUS)


def gain(value: float) -> str:
    """A difference in decibels with its sign; small ones get a second decimal."""
    return f"{value:+.{2 if abs(value) < 1 else 1}f}".replace("-", _MINUS)


def ends(low: float, high: float) -> str:
    """The ends of an interval; without signs where both are above 0."""
    texts = [gain(low), gain(high)]
    return " and ".join(text.removeprefix("+") for text in texts) if low > 0 else " and ".join(texts)


def plain_run(row: Row) -> str:
    """A plain run in words: `10 plain steps`, `10 steps of unipc2`."""
    return f"{row.num_steps} " + ("plain steps" if row.family == Kind.FEWER_STEPS else f"steps of {row.family}")


def times(value: float) -> str:
    """A factor, such as `4.1x` with a proper sign."""
    return f"{value:.2f}×"


def seconds(value: float) -> str:
    """Seconds with three decimals, from 10 on with one."""
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def size(value: float) -> str:
    """Bytes in KiB, MiB or GiB."""
    if value <= 0:
        return "0"
    if value < 2**20 / 10:
        return f"{value / 1024:.1f} KiB"
    mib = value / 2**20
    return f"{mib / 1024:.2f} GiB" if mib >= 1024 else f"{mib:.0f} MiB" if mib >= 100 else f"{mib:.2f} MiB"


def operations(value: float) -> str:
    """Floating-point operations in the unit that fits."""
    for unit, factor in (("P", 1e15), ("T", 1e12), ("G", 1e9)):
        if value >= factor:
            return f"{value / factor:.2f} {unit}"
    return f"{value / 1e6:.2f} M"


#: What a method may do, and what it did.
_WORK = (
    Column("NFE", "Computed steps at which it competes", lambda row: row.nfe, steps, "up"),
    Column("work", "Work that was counted, in uncached steps", lambda row: row.work, steps, "down"),
)
_COST = (
    Column(
        "s / sample", "Median wall time of a sample", lambda row: row.seconds, seconds, "down", lambda row: row.noisy
    ),
    Column(
        "speed-up",
        SPEEDUP,
        lambda row: row.speedup,
        times,
        "up",
        lambda row: row.noisy_speedup,
    ),
    Column("FLOPs", "Operations of the transformer for a sample", lambda row: row.flops, operations, "down"),
    Column("cache", "Kept during a run of a batch", lambda row: row.cache_bytes, size, "down"),
    Column("peak memory", "Beyond what was held before the run", lambda row: row.peak_bytes, size, "down"),
)
