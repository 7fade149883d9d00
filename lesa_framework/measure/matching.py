"""Chooses a peer's one setting so that the work it really does is at or just below a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from lesa_framework.errors import in_one_line
from lesa_framework.interfaces.peer import HasTransformer, Peer, PeerFamily
from lesa_framework.measure.counting import Count
from lesa_framework.measure.workload import Workload

#: Counts are ratios of whole numbers; the target is met up to their rounding.
_ROUNDING = 1e-9
#: This near below the target, in uncached steps, the search ends.
_NEAR = 0.1


class Measure(StrEnum):
    """What is compared with the target."""

    FLOPS = "flops_nfe"
    """Arithmetic inside the blocks: the one measure that is the same for everybody."""
    BLOCKS = "block_nfe"
    """Calls of blocks."""
    STEPS = "full_steps"
    """Steps that are computed whole. Kind to caches that look at their first blocks, whose cost it leaves out."""

    def of(self, work: Count) -> float:
        """A count's value in this measure."""
        values = {Measure.FLOPS: work.flops_nfe, Measure.BLOCKS: work.block_nfe, Measure.STEPS: work.full_steps}
        return float(values[self])


@dataclass(frozen=True)
class Trial:
    """A candidate that was run, and what was counted."""

    peer: Peer
    work: Count


@dataclass(frozen=True)
class Match:
    """What became of a family at a target.

    Attributes:
        name: The family's name.
        target: The work that was asked for.
        measure: What it is measured in.
        chosen: The candidate at or just below the target, with its work; where none gets there, the one that does
            the least; None when there is an error.
        reached: Whether the chosen one is at or below the target.
        note: What a reader of the row should know; empty when the authors' defaults reached the target.
        error: Why nothing was chosen: it cannot be attached, or every run failed.
        tried: Everything that was run, in order.
    """

    name: str
    target: float
    measure: Measure
    chosen: Trial | None = None
    reached: bool = False
    note: str = ""
    error: str | None = None
    tried: tuple[Trial, ...] = ()


def match(
    family: PeerFamily, pipe: HasTransformer, workload: Workload, target: float, measure: Measure = Measure.FLOPS
) -> Match:
    """Search a family's ladders, by halving, for the candidate at or just below a target.

    Never raises what a peer raises: it is told in `error` or `note`, and the model is as before.

    Args:
        family: The family.
        pipe: The pipeline, bare.
        workload: What is run, about ten times.
        target: The work wanted, in uncached steps.
        measure: What it is measured in.
    """
    blank = Match(family.name, target, measure)
    try:
        refused = family.refusal(pipe)
        if refused is not None:
            return replace(blank, error=refused)
        ladders = family.ladders(pipe, workload)
    except Exception as error:  # other people's code raises what it likes; so below
        return replace(blank, error=in_one_line(error))
    tried: list[Trial] = []
    problems: list[str] = []
    for rung, ladder in enumerate(ladders):
        climb = _Climb(ladder, pipe, workload, measure)
        try:
            chosen = climb.search(target)
        except Exception as error:
            problems.append(f"{_shown(ladder[-1])} failed: {in_one_line(error)}")
            chosen = None
        tried += climb.tried
        if chosen is not None:
            note = " ".join(problems) if rung else ""
            return replace(blank, chosen=chosen, reached=True, note=note, tried=tuple(tried))
        if climb.tried and len(problems) <= rung:
            least = min(climb.tried, key=lambda trial: measure.of(trial.work))
            problems.append(f"{_shown(least.peer)} does {measure.of(least.work):.2f}, more than {target:g}.")
    if not tried:
        return replace(blank, error=" ".join(problems))
    least = min(tried, key=lambda trial: measure.of(trial.work))
    note = f"Cannot do as little as {target:g}: the least is {measure.of(least.work):.2f}. " + " ".join(problems)
    return replace(blank, chosen=least, note=note, tried=tuple(tried))


class _Climb:
    """A search on one ladder."""

    def __init__(self, ladder: Sequence[Peer], pipe: HasTransformer, workload: Workload, measure: Measure) -> None:
        self._ladder, self._pipe, self._workload, self._measure = ladder, pipe, workload, measure
        self.tried: list[Trial] = []

    def search(self, target: float) -> Trial | None:
        """The candidate with the most work at or below the target among those tried; None when the last is above."""
        above, below = -1, len(self._ladder) - 1
        if self._work(below) > target + _ROUNDING:
            return None
        while below - above > 1:
            middle = (above + below) // 2
            work = self._work(middle)
            if -_ROUNDING <= target - work <= _NEAR:
                break
            if work <= target:
                below = middle
            else:
                above = middle
        # Work need not fall from rung to rung: errors of a cached step change what the next ones decide.
        fitting = [trial for trial in self.tried if self._measure.of(trial.work) <= target + _ROUNDING]
        return max(fitting, key=lambda trial: self._measure.of(trial.work))

    def _work(self, index: int) -> float:
        peer, known = self._ladder[index], self._workload.known
        key = (peer.name, tuple(sorted(peer.settings.items())))
        if key not in known:
            with peer.attach(self._pipe):
                known[key] = self._workload.counted(self._pipe)
        work = known[key]
        self.tried.append(Trial(peer, work))
        return self._measure.of(work)


def _shown(peer: Peer) -> str:
    return ", ".join(f"{name} = {value}" for name, value in peer.settings.items())
