"""The columns of the table: what is read from a row, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lesa_framework.measure.page import formats
from lesa_framework.measure.results import BenchResults, BenchRow, MetricInfo


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        heading: What stands above it.
        title: What it means, for those who point at it.
        read: A row's value; None when it has none.
        write: The value for people.
        better: `up` when higher is better, else `down`; the first click on the heading puts the best on top.
    """

    heading: str
    title: str
    read: Callable[[BenchRow], float | None]
    write: Callable[[float], str]
    better: str

    def text(self, row: BenchRow) -> str:
        """What a row's cell shows."""
        value = self.read(row)
        return formats.NOTHING if value is None else self.write(value)


def columns(results: BenchResults) -> list[Column]:
    """The columns in which at least one row has a value; the first is the target, which every row has."""
    scores = sorted({name for row in results.rows for name in row.scores})
    every = [*_WORK, *_QUALITY, *(_score(name, results.metrics.get(name)) for name in scores), *_COST]
    return [column for column in every if _filled(column, results.rows)]


def _filled(column: Column, rows: Sequence[BenchRow]) -> bool:
    return any(column.read(row) is not None for row in rows)


def _fixed(digits: int) -> Callable[[float], str]:
    return lambda value: formats.decimals(value, digits)


def _score(name: str, info: MetricInfo | None) -> Column:
    heading, better = (name, "up") if info is None else (info.heading, "up" if info.higher_is_better else "down")
    title = f"{name}; {'higher' if better == 'up' else 'lower'} is better"
    return Column(heading, title, lambda row: row.scores.get(name), _fixed(3), better)


#: The first two stand beside each other: what a method may do, and what it did.
_WORK = (
    Column("target", "Uncached steps whose work it may do", lambda row: row.target_nfe, formats.steps, "up"),
    Column("work", "Work that was counted, in uncached steps", lambda row: row.nfe, formats.steps, "down"),
)
_QUALITY = (
    Column("PSNR, dB", "Float PSNR against the uncached run", lambda row: row.psnr_db, _fixed(2), "up"),
    Column("SSIM", "Structural similarity to the uncached run", lambda row: row.ssim, _fixed(3), "up"),
    Column("rel. L2", "Relative distance of the final latents", lambda row: row.rel_l2, _fixed(3), "down"),
    Column(
        "features", "Relative distance of the model's output, mean over the steps", lambda row: row.feature_rel_l2,
        _fixed(3), "down",
    ),
    Column("caption", "Does the picture show what its caption names?", lambda row: row.caption_score, _fixed(3), "up"),
)  # fmt: skip
_COST = (
    Column("s / sample", "Median wall time a sample", lambda row: row.seconds, formats.seconds, "down"),
    Column("speed-up", "The uncached run's seconds divided by these", lambda row: row.speedup, formats.times, "up"),
    Column(
        "FLOPs",
        "Floating-point operations of the transformer, a sample",
        lambda row: row.flops,
        formats.operations,
        "down",
    ),
    Column("cache", "Kept during a run of a batch", lambda row: row.cache_bytes, formats.size, "down"),
    Column("peak memory", "Beyond what was held before the run", lambda row: row.peak_bytes, formats.size, "down"),
)
