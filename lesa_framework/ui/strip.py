"""The plan of a run as a strip: what was computed and what was predicted, from pure noise to the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lesa_framework.report import RunReport
from lesa_framework.types import Decision

_TICKS = (1.0, 0.75, 0.5, 0.25, 0.0)


@dataclass(frozen=True)
class Cell:
    """One step of a strip.

    Attributes:
        left: Where it begins, in percent of the width: the noise level 1 is at 0, the level 0 at 100.
        width: In percent.
        is_computed: Whether the block stack ran.
        text: What it is, in words.
    """

    left: float
    width: float
    is_computed: bool
    text: str


@dataclass(frozen=True)
class Strip:
    """The strip of a branch of a run."""

    branch: str
    cells: tuple[Cell, ...]

    @property
    def summary(self) -> str:
        """It all in one sentence, for those who do not see it."""
        computed = sum(cell.is_computed for cell in self.cells)
        return f"{self.branch}: {computed} of {len(self.cells)} steps computed, the others predicted"


def strips(run: RunReport) -> tuple[Strip, ...]:
    """The strips of a run; branches with the same plan share one. Empty where the noise levels are unknown."""
    if not run.info.sigmas:
        return ()
    found: dict[str, str] = {}
    for branch, line in run.lines.items():  # which says at which steps, as two transformers' plans do not
        found.setdefault(line, branch)
    shared = len(found) == 1 and len(run.branches) > 1
    return tuple(Strip("all branches" if shared else branch, tuple(_cells(run, branch))) for branch in found.values())


def ticks() -> tuple[float, ...]:
    """Noise levels that are written below a strip."""
    return _TICKS


def _cells(run: RunReport, branch: str) -> Iterator[Cell]:
    sigmas = run.info.sigmas
    for record in run.records:
        if record.branch == branch and 0 <= record.index < len(sigmas) - 1:
            begin, end = sigmas[record.index], sigmas[record.index + 1]
            is_computed = record.decision is Decision.COMPUTE
            what = f"computed ({record.reason})" if is_computed else "predicted"
            text = f"step {record.index + 1}, noise level {begin:.3f}: {what}"
            yield Cell(100 * (1 - begin), 100 * (begin - end), is_computed, text)
