"""What the page shows of a record: places of marks, rows of steps, gains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from lesa_framework.search.candidates import Steps
from lesa_framework.search.record import Record, Tried

#: The plot's size, and the room around it for labels, in SVG units.
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 900, 340, 56, 20, 46, 34
#: About so many lines on the axis of dB, and the widths they may have.
_LINES, _WIDTHS = 6, (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
#: A candidate so far below the even steps, in dB, is drawn at the lower edge: it would press the rest together.
_LOWEST = 3.0
#: The axis spans at least so many dB: levels alike would leave it without any labels.
_SPAN = 1.0


@dataclass(frozen=True)
class Mark:
    """A candidate in the plot."""

    x: float
    y: float
    sort: str
    title: str


@dataclass(frozen=True)
class Plot:
    """Closeness against tries.

    Attributes:
        marks: One for each candidate.
        line: The best so far, as the points of a polyline.
        even: Height of the line to beat.
        levels: Heights and labels of the axis.
        ticks: Places and labels of the number of tries.
    """

    marks: Sequence[Mark]
    line: str
    even: float
    levels: Sequence[tuple[float, str]]
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Strip:
    """A candidate that was the best for a while.

    Attributes:
        number: When it was tried, from 1.
        mean: Its closeness in dB.
        cells: For each step of the run `computed`, `come` (newly computed), `gone` (no longer) or nothing.
    """

    number: int
    mean: float
    cells: Sequence[str]


@dataclass(frozen=True)
class Finalist:
    """A candidate of the comparison at the end.

    Attributes:
        steps: The computed steps.
        number: When it was tried, from 1; None when it was not.
        mean: Closeness in dB.
        searched: The same in the search; None when it was not tried on all prompts.
        gain: Mean gain over even steps in dB.
        error: Its standard error; None with one prompt.
        closer: On how many prompts of the comparison it is closer than even steps.
        prompts: How many these are.
        is_even: Whether it is the even steps.
    """

    steps: Steps
    number: int | None
    mean: float
    searched: float | None
    gain: float
    error: float | None
    closer: int
    prompts: int
    is_even: bool


def plot_of(record: Record) -> Plot | None:
    """The plot; None when nothing was tried."""
    if not record.full:
        return None
    even, best = record.full[0].mean, max(each.mean for each in record.full)
    low = min(max(min(each.mean for each in record.full), even - _LOWEST), best - _SPAN)
    low, high = low - 0.05 * (best - low + 0.1), best + 0.1 * (best - low + 0.1)
    count = len(record.tried)

    def x(number: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * number / max(1, count)

    def y(db: float) -> float:
        return TOP + (HEIGHT - BOTTOM - TOP) * (1 - (min(max(db, low), high) - low) / (high - low))

    marks: list[Mark] = []
    points: list[tuple[float, float]] = []
    newest = -math.inf
    for number, each in enumerate(record.tried, start=1):
        sort = "dropped" if len(each.db) < record.whole else "better" if each.mean > newest else "tried"
        if sort == "better":
            points += [(x(number), y(newest))] if points else []
            newest = each.mean
            points.append((x(number), y(newest)))
        dropped = f", dropped after {len(each.db)} prompts" * (sort == "dropped")
        # A few prompts have another mean than all: what counts is the distance from even steps on the same ones.
        height = each.mean - fmean(record.full[0].db[: len(each.db)]) + even
        marks.append(Mark(x(number), y(height), sort, f"{number}: {each.mean:.2f} dB{dropped}: {told(each.steps)}"))
    points.append((x(count), y(newest)))
    every = _round(count / _LINES, (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000))
    return Plot(
        marks,
        " ".join(f"{px:.1f},{py:.1f}" for px, py in points),
        y(even),
        [(y(level), f"{level:g}") for level in _levels(low, high)],
        [(x(number), str(number)) for number in range(0, count + 1, int(every))],
    )


def strips_of(record: Record) -> list[Strip]:
    """Every candidate that was the best for a while, the newest first."""
    found: list[Strip] = []
    before: Tried | None = None
    for number, each in enumerate(record.tried, start=1):
        if len(each.db) == record.whole and (before is None or each.mean > before.mean):
            found.append(Strip(number, each.mean, _cells(each.steps, before, record.about["num_steps"])))
            before = each
    return found[::-1]


def finalists_of(record: Record) -> list[Finalist]:
    """Those compared at the end, the closest first; even steps are among them."""
    even = record.compared[0]
    found = []
    means = {each.steps: each.mean for each in record.full}
    numbers = {each.steps: number for number, each in enumerate(record.tried, start=1)}
    for each in sorted(record.compared, key=lambda tried: -record.pooled(tried)):
        gains = [one - other for one, other in zip(each.db, even.db, strict=True)]
        mean = fmean(gains)
        spread = sum((gain - mean) ** 2 for gain in gains)
        error = math.sqrt(spread / (len(gains) - 1) / len(gains)) if len(gains) > 1 else None
        closer = sum(gain > 0 for gain in gains)
        found.append(
            Finalist(
                each.steps, numbers.get(each.steps), each.mean, means.get(each.steps), mean, error, closer, len(gains),
                each.steps == even.steps,
            )
        )  # fmt: skip
    return found


def told(steps: Steps) -> str:
    """Steps for people."""
    return " ".join(map(str, steps))


def only(steps: Steps, total: int) -> list[str]:
    """The cells of steps that are compared with nothing."""
    return _cells(steps, None, total)


def _cells(steps: Steps, before: Tried | None, total: int) -> list[str]:
    old = steps if before is None else before.steps
    return [
        ("computed" if step in old else "come") if step in steps else "gone" if step in old else ""
        for step in range(total)
    ]


def _levels(low: float, high: float) -> list[float]:
    every = _round((high - low) / _LINES, _WIDTHS)
    first = math.ceil(low / every)
    return [round(every * number, 3) for number in range(first, math.floor(high / every) + 1)]


def _round(value: float, widths: Sequence[float]) -> float:
    return next((width for width in widths if width >= value), widths[-1])
