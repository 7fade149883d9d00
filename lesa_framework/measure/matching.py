"""Chooses a peer's setting so that its counted work is at or just below that of a given number of steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from lesa_framework.errors import PeerError, in_one_line
from lesa_framework.interfaces.peer import HasTransformer, Peer, PeerFamily
from lesa_framework.measure.counting import Count, Workload
from lesa_framework.place import TRANSFORMERS, transformers_of
from lesa_framework.words import amount

#: Counts are ratios of whole numbers, so the NFE is met up to rounding.
_ROUNDING = 1e-9
#: The search ends when the work is at most this far below the NFE, in uncached steps.
_NEAR = 0.1


class Measure(StrEnum):
    """The count that is compared with the NFE."""

    FLOPS = "flops_nfe"
    """Arithmetic inside the blocks: the only measure that means the same for every method."""
    STEPS = "full_steps"
    """Steps that are computed whole. What is computed in the others, such as first blocks, is not counted."""

    def of(self, work: Count) -> float:
        """The value of a count in this measure."""
        return work.flops_nfe if self is Measure.FLOPS else work.full_steps


@dataclass(frozen=True)
class Trial:
    """A candidate that was run, and what was counted."""

    peer: Peer
    work: Count


class SearchTimeoutError(PeerError):
    """The search took too long."""


@dataclass(frozen=True)
class Match:
    """The outcome of a search in one family.

    Attributes:
        chosen: The candidate at or just below the NFE, with its work; if none reaches it, the one that does the least;
            None when there is an error.
        reached: Whether the chosen one is at or below the NFE.
        note: What a reader of the row should know; empty when only the authors' defaults were needed.
        error: Why nothing was chosen: it cannot be attached, or every run failed.
        tried: Everything that was run, in order.
        finished: Whether the time sufficed.
    """

    chosen: Trial | None = None
    reached: bool = False
    note: str = ""
    error: str | None = None
    tried: tuple[Trial, ...] = ()
    finished: bool = True


#: How a peer's setting is searched: in (family, pipeline, workload, NFE, measure).
Search: TypeAlias = Callable[[PeerFamily, HasTransformer, Workload, float, Measure], Match]


def match(
    family: PeerFamily,
    pipe: HasTransformer,
    workload: Workload,
    nfe: float,
    measure: Measure = Measure.FLOPS,
    seconds: float = math.inf,
    start: Match | None = None,
) -> Match:
    """Search a family's ladders, by bisection, for the candidate at or just below an NFE.

    Where the workload measures quality, every ladder is searched, and the best of their candidates is chosen: no peer
    is to look bad because of a choice that was made for it. Elsewhere it is the first ladder that reaches the NFE.

    Never raises what a peer raises: that becomes the `error` or a `note`, and the model is as before.

    Args:
        family: What is matched.
        pipe: The pipeline, bare.
        workload: The run that is counted, about ten times.
        nfe: The work wanted, in uncached steps.
        measure: What it is measured in.
        seconds: How long the search may take. A run in progress is then broken off, and the best so far is chosen.
        start: What was found on a model that decides alike but is quicker. This search begins with its candidate, and
            ends there if that was the end of a finished search and does the same work here. Ladders before its own are
            left out. It is chosen, too, where the time does not suffice for a single run.
    """
    refused = refusal(family, pipe)
    if refused is not None:
        return Match(error=refused)
    until = time.monotonic() + seconds

    def stop_late_runs(*_: object) -> None:  # a GPU is given work only a little ahead, so the CPU's clock will do
        if time.monotonic() > until:
            raise SearchTimeoutError(f"no settings were found in {seconds:.0f} s")

    search = _Search(pipe, workload, nfe, measure)
    handle = pipe.transformer.register_forward_pre_hook(stop_late_runs)
    try:
        ladders, place = _begun_at(family.ladders(pipe, workload), start)
        search.expect(start, None if place is None else ladders[0][place])
        return search.climb_all(ladders, place)
    except SearchTimeoutError as error:
        return search.cut_short(error)
    except Exception as error:  # other libraries may raise anything; so below
        return Match(error=in_one_line(error))
    finally:
        handle.remove()


def refusal(family: PeerFamily, pipe: HasTransformer) -> str | None:
    """Why a family cannot be attached to a pipeline, in a sentence; None when it can. Nothing is run."""
    models = transformers_of(pipe)
    if list(models) != [TRANSFORMERS[0]]:
        have = ", ".join(models) or "none"
        only = f"exactly one transformer, called `{TRANSFORMERS[0]}`"
        return f"Peers need a pipeline with {only}. This one has: {have}."
    try:
        return family.refusal(pipe)
    except Exception as error:  # other libraries may raise anything
        return in_one_line(error)


def _begun_at(ladders: Sequence[Sequence[Peer]], start: Match | None) -> tuple[Sequence[Sequence[Peer]], int | None]:
    """The ladders from that of a candidate with the same settings on, and its place there; all where there is none."""
    wanted = None if start is None or start.chosen is None else dict(start.chosen.peer.settings)
    for number, ladder in enumerate(ladders):
        for place, peer in enumerate(ladder):
            if dict(peer.settings) == wanted:
                return ladders[number:], place
    return ladders, None


def _nearer(middle: int, above: int, below: int, stride: int, rungs: int) -> int:
    """The next rung to try; no further than a stride from the only one that is known."""
    if below == rungs:
        return min(middle, above + stride)
    return middle if above >= 0 else max(middle, below - stride)


class _Search:
    """Everything that was tried for one NFE, and what went wrong.

    Attributes:
        tried: What was run.
        problems: Why ladders were given up.
        expected: What the search begins with, and the work that is expected of it; None where nothing is known.
        certain: Whether nothing between that work and the NFE is to be expected.
    """

    def __init__(self, pipe: HasTransformer, workload: Workload, nfe: float, measure: Measure) -> None:
        self._pipe, self._workload, self._nfe, self._measure = pipe, workload, nfe, measure
        self.tried: list[Trial] = []
        self.problems: list[str] = []
        self.expected: Trial | None = None
        self.certain = False

    def expect(self, start: Match | None, peer: Peer | None) -> None:
        """Take over what another search found, as this model's peer."""
        if start is not None and start.chosen is not None and peer is not None:
            self.expected, self.certain = Trial(peer, start.chosen.work), start.reached and start.finished

    def climb_all(self, ladders: Sequence[Sequence[Peer]], place: int | None) -> Match:
        """What is chosen of all ladders, begun at a place of the first one if that is known."""
        reached = list[Trial]()
        for ladder in ladders:
            chosen = self.climb(ladder, place)
            if chosen is not None and self._workload.quality is None:
                return self.ended_with([chosen])
            if chosen is not None:
                reached.append(chosen)
            # The next ladder's candidate is probably a neighbour of this one's.
            place = None if chosen is None else ladder.index(chosen.peer)
        return self.ended_with(reached) if reached else self.best_of_all()

    def climb(self, ladder: Sequence[Peer], place: int | None = None) -> Trial | None:
        """The best candidate that was tried on one ladder; None when its last does too much, or one fails.

        From a place on the ladder it looks at neighbours, further and further away, until the NFE is between two.
        """
        first, above, below, stride = len(self.tried), -1, len(ladder), 1
        index = len(ladder) - 1 if place is None else min(place, len(ladder) - 1)
        while below - above > 1:
            last, peer = index == len(ladder) - 1, ladder[index]
            try:
                work = self._work_of(peer)
            except SearchTimeoutError:
                raise
            except Exception as error:
                self.problems.append(f"{_shown(peer)} failed: {in_one_line(error)}")
                return None
            if last and work > self._nfe + _ROUNDING:
                self.problems.append(f"{_shown(peer)} does {work:.2f}, more than {self._nfe:g}.")
                return None
            if self._near(work, last=last) or (index == place and self._as_expected(work)):
                break
            above, below = (above, index) if work <= self._nfe + _ROUNDING else (index, below)
            middle = (above + below) // 2
            index = middle if place is None else _nearer(middle, above, below, stride, len(ladder))
            stride *= 2
        # Work need not fall from rung to rung: errors of a cached step change what the next ones decide.
        return self._best(self.tried[first:])[0]

    def _near(self, work: float, *, last: bool) -> bool:
        """Whether no other candidate need be looked at; a ladder's last is only run to see that it can do as little."""
        return not last and -_ROUNDING <= self._nfe - work <= _NEAR

    def _as_expected(self, work: float) -> bool:
        """Whether the first candidate confirms what another search has found."""
        if self.expected is None or not self.certain or work > self._nfe + _ROUNDING:
            return False
        return abs(work - self._measure.of(self.expected.work)) <= _NEAR

    def ended_with(self, reached: Sequence[Trial]) -> Match:
        """The outcome when ladders reached the NFE: the best of their candidates, the first where nobody judges."""
        chosen = max(reached, key=lambda trial: -math.inf if trial.work.quality is None else trial.work.quality)
        notes = self.problems
        if len(reached) > 1:
            notes = [
                *notes,
                f"Of {len(reached)} settings that reach {self._nfe:g}, it is the one with the best pictures.",
            ]
        return Match(chosen, True, " ".join(notes), tried=tuple(self.tried))

    def best_of_all(self) -> Match:
        """The outcome when no ladder reached the NFE without a failure."""
        note = " ".join(self.problems)
        if not self.tried:
            return Match(error=note)
        chosen, reached = self._best(self.tried)
        if not reached:
            note = f"Cannot do as little as {self._nfe:g}: the least is {self._measure.of(chosen.work):.2f}. {note}"
        return Match(chosen, reached, note, tried=tuple(self.tried))

    def cut_short(self, error: SearchTimeoutError) -> Match:
        """The outcome of a search that took too long: the best so far, or what it was to begin with, unseen."""
        runs, seen = len(self.tried), self.tried or [each for each in (self.expected,) if each is not None]
        if not seen:
            return Match(error=str(error))
        chosen, reached = self._best(seen)
        does = f"it does {self._measure.of(chosen.work):.2f}" if runs else "what it does was not confirmed"
        when = f"after {amount(runs, 'run')}" if runs else "before a run had ended"
        note = f"The search was cut short {when}: {does}, and {self._nfe:g} was asked for."
        return Match(chosen, reached, note, tried=tuple(self.tried), finished=False)

    def _best(self, tried: Sequence[Trial]) -> tuple[Trial, bool]:
        """The candidate with the most work at or below the NFE, or else with the least; and whether it is within."""

        def work(trial: Trial) -> float:
            return self._measure.of(trial.work)

        within = [trial for trial in tried if work(trial) <= self._nfe + _ROUNDING]
        return (max(within, key=work) if within else min(tried, key=work)), bool(within)

    def _work_of(self, peer: Peer) -> float:
        known, key = self._workload.known, (peer.name, tuple(sorted(peer.settings.items())))
        if key not in known:
            with peer.attach(self._pipe):
                known[key] = self._workload.counted(self._pipe)
        self.tried.append(Trial(peer, known[key]))
        return self._measure.of(known[key])


def peer_with(family: PeerFamily, settings: Mapping[str, object], pipe: HasTransformer, workload: Workload) -> Peer:
    """The candidate that has these settings, which an earlier search found.

    Raises:
        PeerError: The family no longer offers them.
    """
    for ladder in family.ladders(pipe, workload):
        for peer in ladder:
            if dict(peer.settings) == settings:
                return peer
    raise PeerError(f"{family.name}: no longer offers its settings {settings}. Begin with --fresh.")


def _shown(peer: Peer) -> str:
    return ", ".join(f"{name} = {value}" for name, value in peer.settings.items())
