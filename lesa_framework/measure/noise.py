"""How far times may be off because the machine was busy with something else, and what a reader is told about it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from lesa_framework.measure.cells import Cell
from lesa_framework.measure.columns import NOISY
from lesa_framework.measure.results import NOISE_BOUND, Row


def timing_noise(runs: Sequence[Cell], ratios: Sequence[float]) -> float | None:
    """How far a method's times may be off, as a share.

    Args:
        runs: Its timed runs, one for each batch.
        ratios: Its speed-up, batch by batch.

    Returns:
        The larger of two: the share of the time that the runs had no processor, the median over the runs; and, with
        two or more batches, the median deviation of the speed-ups from their median. None where neither is known.
    """
    waits = [run.waited / run.seconds for run in runs if run.waited is not None and run.seconds > 0]
    found = [median(waits)] if waits else []
    if len(ratios) > 1:
        middle = median(ratios)
        found.append(median(abs(ratio - middle) for ratio in ratios) / middle)
    return max(found, default=None)


def noise_note(rows: Sequence[Row]) -> str:
    """What the marked times mean and what to do; empty where no row is noisy."""
    noisy = [row for row in rows if row.noisy]
    if not noisy:
        return ""
    which = "All times" if all(row.noisy for row in rows if row.seconds is not None) else f"Times with {NOISY}"
    return (
        f"{which} are noisy: other programs had the processor for more than {NOISE_BOUND:.0%} of the time, or the "
        "speed-ups differ as much from batch to batch. Close other programs, or repeat the run. Scores are unaffected."
    )
