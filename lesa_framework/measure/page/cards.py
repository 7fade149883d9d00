"""The layout of the answers: a line for each amount of work, and cards, grouped by model."""

from __future__ import annotations

from collections.abc import Sequence

from lesa_framework.measure.page.verdicts import Verdict

#: Possible numbers of columns on a wide screen.
_WIDE = (2, 3)


def answers(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Factor of saved work -> the winners, model by model; the smallest saving first."""
    won = sorted((each for each in verdicts if each.winner is not None), key=lambda each: each.num_steps / each.nfe)
    return {work: [each for each in won if each.work == work] for work in dict.fromkeys(each.work for each in won)}


def card_groups(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """By model, in the order of the file."""
    return {model: [each for each in verdicts if each.model == model] for model in {each.model: 0 for each in verdicts}}


def grid_columns(sizes: Sequence[int]) -> int:
    """The number of columns that leaves the fewest gaps when groups of these sizes follow each other.

    Args:
        sizes: Cards of each group. A group stays together where a line is long enough for it.
    """
    if sum(sizes) < min(_WIDE):
        return 1
    return min(_WIDE, key=lambda columns: _holes(sizes, columns))


def _holes(sizes: Sequence[int], columns: int) -> int:
    holes = free = 0
    for size in sizes:
        width = min(size, columns)
        if width > free:
            holes, free = holes + free, columns
        free -= width
        holes += -size % width
    return holes + free
