"""Which method to use, in sentences, and how their cards are laid out; losses of LESA are stated as plainly as wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lesa_framework.measure.columns import ends, gain, plain_run
from lesa_framework.measure.results import Difference, Kind, Results, Row, ranked

#: The family that this framework is named after.
_OURS = "lesa"
#: How many of the next best methods are named.
_NEXT = 2
#: Possible numbers of columns of cards on a wide screen.
_WIDE = (2, 3)


class Remark(NamedTuple):
    """How the winner compares with one of the others."""

    text: str
    tone: str
    """`ahead`, `level` or `lost` (our own method, or every cache against a plain run)."""


@dataclass(frozen=True)
class Verdict:
    """The answer for one model and one number of computed steps: the best method, if any competes.

    Its remarks compare it with others, the closest first; `excluded` says who does not compete, and why.
    """

    model: str
    nfe: int
    num_steps: int
    winner: Row | None
    remarks: tuple[Remark, ...]
    excluded: tuple[str, ...]

    @property
    def work(self) -> str:
        """By which factor the work is less than uncached."""
        return f"{self.num_steps / self.nfe:.2f}".rstrip("0").rstrip(".") + "×"


def verdicts(results: Results) -> list[Verdict]:
    """One verdict for each NFE of each scored model, in the order of the file, most computed steps first."""
    scored = {row.model for row in results.rows for value in row.scores.values() if value is not None}
    return [
        _verdict(results, found.model, found.num_steps, nfe)
        for found in results.models
        if found.model in scored
        for nfe in results.nfes(found.model)
    ]


def _verdict(results: Results, model: str, num_steps: int, nfe: int) -> Verdict:
    rows = [row for row in results.of_model(model) if row.nfe == nfe and row.kind is not Kind.UNCACHED]
    rivals = ranked(rows, nfe)
    against = {
        difference.theirs: difference
        for difference in results.differences
        if rivals and (difference.model, difference.nfe, difference.ours) == (model, nfe, rivals[0].name)
    }
    return Verdict(
        model=model,
        nfe=nfe,
        num_steps=num_steps,
        winner=rivals[0] if rivals else None,
        remarks=tuple(_remarks(rivals, against)) if rivals else (),
        excluded=tuple(f"{row.name}: {row.exclusion}" for row in rows if row.exclusion),
    )


def _remarks(rivals: Sequence[Row], against: dict[str, Difference]) -> list[Remark]:
    winner, others = rivals[0], rivals[1:]
    found = []
    if winner.kind is Kind.FEWER_STEPS:
        found.append(_plain_winner(others, against))
    if winner.works_more:
        found.append(_more_work(winner, others))
    named = {row.name for row in _worth_naming(winner, others)}
    found += [_remark(winner, row, against.get(row.name)) for row in others if row.name in named]
    return found or [Remark("No other method competes here.", "level")]


def _plain_winner(others: Sequence[Row], against: dict[str, Difference]) -> Remark:
    """Whether no cache pays off, or whether that is not certain."""
    known = [against[row.name] for row in others if row.kind is not Kind.FEWER_STEPS and row.name in against]
    if not known:
        return Remark("No cache was compared here.", "level")
    if all(difference.certain for difference in known):
        return Remark("No cache pays off here: a plain run with fewer steps is closest.", "lost")
    if all(difference.low_db is None and difference.mean_db > 0 for difference in known):
        return Remark("A plain run with fewer steps is closest, on the one prompt that has a PSNR.", "level")
    return Remark("A plain run with fewer steps has the highest PSNR, but is not certain to be ahead.", "level")


def _more_work(winner: Row, others: Sequence[Row]) -> Remark:
    """A winner that is ranked by its steps may have done more work than the others."""
    within = next((row.name for row in others if not row.works_more), None)
    closest = f" Of the methods that did no more than {winner.nfe}, {within} is the closest." if within else ""
    return Remark(
        f"It is ranked by its {winner.whole_steps:.3g} whole steps, and did the work of {winner.work:.3g}.{closest}",
        "level",
    )


def _worth_naming(winner: Row, others: Sequence[Row]) -> list[Row]:
    """The next best methods, and the best of LESA, of the peers and of the plain runs."""
    ours = [row for row in others if row.family == _OURS and winner.family != _OURS]
    peers = [row for row in others if row.kind is Kind.PEER]
    plain = [row for row in others if row.kind is Kind.FEWER_STEPS]
    return [*others[:_NEXT], *ours[:1], *peers[:1], *plain[:1]]


def _remark(winner: Row, other: Row, difference: Difference | None) -> Remark:
    name = plain_run(other) if other.kind is Kind.FEWER_STEPS else other.name
    ours = other.family == _OURS and winner.family != _OURS
    ahead = (winner.psnr_db or 0.0) - (other.psnr_db or 0.0) if difference is None else difference.mean_db
    between = _between(difference)
    # The winner has the highest mean over its own pairs, and may be behind on those that both have a PSNR of.
    if ahead <= 0 or (difference is not None and difference.low_db is not None and not difference.certain):
        return Remark(f"level with {name}: {gain(ahead)} dB{between}", "level")
    if ours:
        return Remark(f"LESA loses: {name} is {gain(ahead)[1:]} dB behind{between}", "lost")
    return Remark(f"{gain(ahead).removeprefix('+')} dB ahead of {name}{between}", "ahead")


def _between(difference: Difference | None) -> str:
    if difference is None:
        return ""
    if difference.low_db is None or difference.high_db is None:
        return ", on the one prompt that both have a PSNR of"
    return f", between {ends(difference.low_db, difference.high_db)}"


def answers(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Factor of saved work -> the winners, model by model; the smallest saving first."""
    won = sorted((each for each in verdicts if each.winner is not None), key=lambda each: each.num_steps / each.nfe)
    return {work: [each for each in won if each.work == work] for work in dict.fromkeys(each.work for each in won)}


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
