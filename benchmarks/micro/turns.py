"""Everything that is compared takes turns, and is compared turn by turn: what slows the machine down slows all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from statistics import median
from typing import TypeVar

T = TypeVar("T")

#: The chance that an interval holds the median, where there are values enough.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """A median and how certain it is.

    Attributes:
        median: Of the values.
        low: Lower end of the interval that `interval_name` names.
        high: Upper end.
    """

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The median with its interval by ranks, which needs no assumption about how the values are spread.

    Of fewer than six values even the least and the greatest hold the median in fewer than 95 % of all cases: the
    interval is from one to the other, and `interval_name` says so.
    """
    ranked = sorted(values)
    outside = _outside(len(ranked))
    return Spread(median(ranked), ranked[outside], ranked[len(ranked) - 1 - outside])


def interval_name(count: int) -> str:
    """What the interval of so many values is, for a heading."""
    return f"{100 * CONFIDENCE:.0f} % interval" if _beyond(count) <= 1 - CONFIDENCE else "least to most"


def _beyond(count: int) -> float:
    """The chance that the median is beyond all of so many values."""
    return 2 / 2**count


def _outside(count: int) -> int:
    """How many values on each side the interval leaves out: as many as the confidence allows."""
    outside, beyond = 0, _beyond(count)
    while beyond + 2 * comb(count, outside + 1) / 2**count <= 1 - CONFIDENCE:
        outside += 1
        beyond += 2 * comb(count, outside) / 2**count
    return outside


@dataclass(frozen=True)
class Line:
    """One thing that was timed.

    Attributes:
        name: Unique within its part.
        seconds: One value for each turn.
        family: What similar ones share; the name when empty.
        settings: A peer's, in its library's own words.
        peer: Whether it is another library's.
    """

    name: str
    seconds: Sequence[float]
    family: str = ""
    settings: Mapping[str, int | float | str] = field(default_factory=dict)
    peer: bool = False


@dataclass(frozen=True)
class Part:
    """What takes turns, and what it is compared with.

    Attributes:
        name: Its heading.
        summary: What is compared, in a sentence.
        lines: What was timed, the baseline first. All have as many turns.
        batch: Samples in a call.
        num_steps: Steps of a run, where there are runs.
        nfe: How many of them are computed.
        notes: What a reader should know besides.
    """

    name: str
    summary: str
    lines: tuple[Line, ...]
    batch: int = 1
    num_steps: int = 1
    nfe: int = 1
    notes: tuple[str, ...] = ()

    def ratio(self, line: Line) -> Spread:
        """A line's time over the baseline's, turn by turn."""
        pairs = zip(line.seconds, self.lines[0].seconds, strict=True)
        return spread([ours / floor for ours, floor in pairs])


def in_turns(acts: Mapping[str, Callable[[], T]], rounds: int, *, warm_up: bool = True) -> dict[str, list[T]]:
    """Let each act once a turn, in an order that rotates.

    Args:
        acts: Each does its work once and returns what was measured, such as seconds.
        rounds: How many turns.
        warm_up: Whether a turn that does not count comes first.

    Returns:
        What each returned, turn by turn.
    """
    names, found = list(acts), {name: list[T]() for name in acts}
    for number in range(0 if warm_up else 1, rounds + 1):
        start = number % len(names)
        for name in (*names[start:], *names[:start]):
            measured = acts[name]()
            if number:
                found[name].append(measured)
    return found
