"""Chooses a peer's setting so that its counted work is at or just below that of a given number of steps."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from lesa_framework.api import transformers_of
from lesa_framework.errors import PeerError, in_one_line
from lesa_framework.interfaces.peer import HasTransformer, Peer, PeerFamily
from lesa_framework.measure.counting import Count
from lesa_framework.measure.workload import Workload

#: Counts are ratios of whole numbers, so the NFE is met up to rounding.
_ROUNDING = 1e-9
#: The search ends when the work is at most this far below the NFE, in uncached steps.
_NEAR = 0.1


class Measure(StrEnum):
    """The count that is compared with the NFE."""

    FLOPS = "flops_nfe"
    """Arithmetic inside the blocks: the only measure that means the same for every method."""
    STEPS = "full_steps"
    """Steps that are computed whole. Favours caches that look at their first blocks, because it ignores that cost."""

    def of(self, work: Count) -> float:
        """The value of a count in this measure."""
        return work.flops_nfe if self is Measure.FLOPS else work.full_steps


@dataclass(frozen=True)
class Trial:
    """A candidate that was run, and what was counted."""

    peer: Peer
    work: Count


@dataclass(frozen=True)
class Match:
    """The outcome of a search in one family.

    Attributes:
        name: The family's name.
        nfe: The work that was asked for, in uncached steps.
        measure: What it is measured in.
        chosen: The candidate at or just below the NFE, with its work; if none reaches it, the one that does the least;
            None when there is an error.
        reached: Whether the chosen one is at or below the NFE.
        note: What a reader of the row should know; empty when the authors' defaults reached the NFE.
        error: Why nothing was chosen: it cannot be attached, or every run failed.
        tried: Everything that was run, in order.
    """

    name: str
    nfe: float
    measure: Measure
    chosen: Trial | None = None
    reached: bool = False
    note: str = ""
    error: str | None = None
    tried: tuple[Trial, ...] = ()

    def work(self, trial: Trial) -> float:
        """A candidate's work, in this measure."""
        return self.measure.of(trial.work)


def match(
    family: PeerFamily,
    pipe: HasTransformer,
    workload: Workload,
    nfe: float,
    measure: Measure = Measure.FLOPS,
    seconds: float = math.inf,
) -> Match:
    """Search a family's ladders, by bisection, for the candidate at or just below an NFE.

    Never raises what a peer raises: that becomes the `error` or a `note`, and the model is as before.

    Args:
        family: The family.
        pipe: The pipeline, bare.
        workload: The run that is counted, about ten times.
        nfe: The work wanted, in uncached steps.
        measure: What it is measured in.
        seconds: How long the search may take. A run in progress is then broken off, and the best so far is chosen.
    """
    blank = Match(family.name, nfe, measure)
    models = transformers_of(pipe)
    if len(models) != 1:
        have = ", ".join(models) or "none"
        return replace(blank, error=f"Peers need a pipeline with exactly one transformer. This one has: {have}.")
    until = time.monotonic() + seconds

    def stop_late_runs(*_: object) -> None:  # a GPU is given work only a little ahead, so the CPU's clock will do
        if time.monotonic() > until:
            raise SearchTimeoutError(f"no settings were found in {seconds:.0f} s")

    handle = pipe.transformer.register_forward_pre_hook(stop_late_runs)
    try:
        refused = family.refusal(pipe)
        if refused is not None:
            return replace(blank, error=refused)
        ladders = family.ladders(pipe, workload)
        return _searched(blank, [_Climb(ladder, pipe, workload, measure) for ladder in ladders])
    except SearchTimeoutError as error:
        return replace(blank, error=str(error))
    except Exception as error:  # other libraries may raise anything; so below
        return replace(blank, error=in_one_line(error))
    finally:
        handle.remove()


class SearchTimeoutError(PeerError):
    """The search took too long."""


def _searched(blank: Match, climbs: Sequence[_Climb]) -> Match:
    tried: list[Trial] = []
    problems: list[str] = []
    for rung, climb in enumerate(climbs):
        try:
            chosen = climb.search(blank.nfe)
        except SearchTimeoutError:
            if not [*tried, *climb.tried]:
                raise
            return _cut_short(blank, [*tried, *climb.tried])
        except Exception as error:
            problems.append(f"{_shown(climb.running)} failed: {in_one_line(error)}")
            continue
        finally:
            tried += climb.tried
        if chosen is not None:
            note = " ".join(problems) if rung else ""
            return replace(blank, chosen=chosen, reached=True, note=note, tried=tuple(tried))
        least = min(climb.tried, key=blank.work)
        problems.append(f"{_shown(least.peer)} does {blank.work(least):.2f}, more than {blank.nfe:g}.")
    if not tried:
        return replace(blank, error=" ".join(problems))
    chosen, reached = _best(blank, tried)
    note = " ".join(problems)
    if not reached:
        note = f"Cannot do as little as {blank.nfe:g}: the least is {blank.work(chosen):.2f}. {note}"
    return replace(blank, chosen=chosen, reached=reached, note=note, tried=tuple(tried))


def _best(blank: Match, tried: Sequence[Trial]) -> tuple[Trial, bool]:
    """The candidate with the most work at or below the NFE, or else with the least; and whether it is within."""
    within = [trial for trial in tried if blank.work(trial) <= blank.nfe + _ROUNDING]
    return (max(within, key=blank.work) if within else min(tried, key=blank.work)), bool(within)


def _cut_short(blank: Match, tried: Sequence[Trial]) -> Match:
    """The best candidate of a search that took too long."""
    chosen, reached = _best(blank, tried)
    note = (
        f"The search was cut short after {len(tried)} runs: it does {blank.work(chosen):.2f}, "
        f"and {blank.nfe:g} was asked for."
    )
    return replace(blank, chosen=chosen, reached=reached, note=note, tried=tuple(tried))


class _Climb:
    """A search on one ladder."""

    def __init__(self, ladder: Sequence[Peer], pipe: HasTransformer, workload: Workload, measure: Measure) -> None:
        self._ladder, self._pipe, self._workload, self._measure = ladder, pipe, workload, measure
        self.tried: list[Trial] = []
        self.running = ladder[-1]

    def search(self, nfe: float) -> Trial | None:
        """The candidate with the most work at or below the NFE among those tried; None when the last is above."""
        above, below = -1, len(self._ladder) - 1
        if self._work(below) > nfe + _ROUNDING:
            return None
        while below - above > 1:
            middle = (above + below) // 2
            work = self._work(middle)
            if -_ROUNDING <= nfe - work <= _NEAR:
                break
            if work <= nfe:
                below = middle
            else:
                above = middle
        # Work need not fall from rung to rung: errors of a cached step change what the next ones decide.
        fitting = [trial for trial in self.tried if self._measure.of(trial.work) <= nfe + _ROUNDING]
        return max(fitting, key=lambda trial: self._measure.of(trial.work))

    def _work(self, index: int) -> float:
        self.running = peer = self._ladder[index]
        known = self._workload.known
        key = (peer.name, tuple(sorted(peer.settings.items())))
        if key not in known:
            with peer.attach(self._pipe):
                known[key] = self._workload.counted(self._pipe)
        work = known[key]
        self.tried.append(Trial(peer, work))
        return self._measure.of(work)


def _shown(peer: Peer) -> str:
    return ", ".join(f"{name} = {value}" for name, value in peer.settings.items())
