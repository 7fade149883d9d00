"""The loop: try the starts, then what is near the best and promises most."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lesa_framework.search.candidates import Steps, every, nearby, neighbours
from lesa_framework.search.record import Record, Tried
from lesa_framework.search.surrogate import Surrogate

#: How many of the best are compared at the end, besides the first start.
_FINALISTS = 3
#: The next candidate is looked for around so many of the best, among so many each that are two moves away.
_CENTRES, _DRAWS = 2, 60
#: What a standard deviation of the guess counts besides the guess itself.
_CURIOSITY = 0.5
#: After the first few prompts a candidate may be behind by so many standard errors; after more of them it may not.
_PATIENCE = 1.0
#: The most candidates that the guess is made from.
_TELLING = 300


class Trials(Protocol):
    """Fits and judges candidates."""

    def scores(self, steps: Steps) -> Iterator[tuple[float, ...]]:
        """Closeness in dB for the prompts of one rung after another; rungs that are not asked for cost nothing."""

    def whole(self, steps: Steps) -> tuple[float, ...]:
        """Closeness in dB on prompts that `scores` does not use."""


@dataclass(frozen=True)
class Limit:
    """When a search ends: after so many candidates, or after so many seconds with the comparison at the end."""

    tries: int | None = None
    seconds: float | None = None

    def share(self, tried: int, seconds: float) -> float:
        """How much of it is used up; 1 is all."""
        used = tried / self.tries if self.tries else 0.0
        return max(used, seconds / self.seconds if self.seconds else 0.0)

    def is_used_up(self, record: Record) -> bool:
        """Whether no candidate may be tried any more, with the time for the comparison at the end."""
        return self.share(len(record.tried), record.seconds + reserve(record)) >= 1


def reserve(record: Record) -> float:
    """Seconds that the comparison at the end will take."""
    return _FINALISTS * record.comparison_seconds


@dataclass
class Search:
    """A search for computed steps. What it does next depends on the seed and on what was tried alone.

    Args:
        trials: Judges candidates.
        record: What was tried before; it is added to.
        starts: Candidates to begin with; the first is the one to beat.
        total: Steps of the run.
        fixed: Steps that are always computed.
        seed: Order of the candidates.
        save: Called whenever the record has grown.
        clock: Seconds.
    """

    trials: Trials
    record: Record
    starts: Sequence[Steps]
    total: int
    fixed: frozenset[int]
    seed: int
    save: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic

    def run(self, limit: Limit) -> Iterator[Tried]:
        """Judge the first start on the unused prompts, then try candidates until the limit, then compare the best.

        Yields:
            Every candidate after it was judged.
        """
        yield from self._compare([self.starts[0]])
        # One comparison is as long as any other, and so many are left for the end.
        while not limit.is_used_up(self.record):
            started = self.clock()
            steps = self._next()
            if steps is None:
                break
            yield self._try(steps, started)
        yield from self._compare(self._finalists())

    def is_finished(self, limit: Limit) -> bool:
        """Whether nothing is left to try or to compare."""
        compared = all(self.record.comparison(steps) is not None for steps in (self.starts[0], *self._finalists()))
        return compared and (limit.is_used_up(self.record) or self.is_exhausted())

    def is_exhausted(self) -> bool:
        """Whether every candidate was tried; with few free steps that happens soon."""
        return self._next() is None

    def _finalists(self) -> list[Steps]:
        best = sorted(self.record.full, key=lambda each: -each.mean)
        return [each.steps for each in best[:_FINALISTS]]

    def _try(self, steps: Steps, started: float) -> Tried:
        best = self.record.best
        found: tuple[float, ...] = ()
        for number, rung in enumerate(self.trials.scores(steps)):
            found = (*found, *rung)
            if best is not None and is_behind(found, best.db, _PATIENCE if number == 0 else 0.0):
                break
        self.record.seconds += self.clock() - started
        tried = Tried(steps=steps, db=found, at=self.record.seconds)
        self.record.tried.append(tried)
        self.save()
        return tried

    def _compare(self, candidates: Sequence[Steps]) -> Iterator[Tried]:
        for steps in candidates:
            if self.record.comparison(steps) is None:
                started = self.clock()
                scores = self.trials.whole(steps)
                self.record.comparison_seconds = self.clock() - started
                self.record.seconds += self.record.comparison_seconds
                compared = Tried(steps=steps, db=scores, at=self.record.seconds)
                self.record.compared.append(compared)
                self.save()
                yield compared

    def _next(self) -> Steps | None:
        tried = {each.steps for each in self.record.tried}
        waiting = [steps for steps in self.starts if steps not in tried]
        best = self.record.best
        if waiting or best is None:
            return waiting[0] if waiting else None
        surrogate = Surrogate(self._telling(), self.total)
        full = [each.steps for each in self.record.full]
        order = np.argsort(-surrogate.expect(full)[0], kind="stable")[:_CENTRES]
        seed = f"{self.seed} {len(tried)}"
        near = [
            steps for place in order for steps in nearby(full[place], self.total, self.fixed, _DRAWS, f"{seed} {place}")
        ]
        untried = [steps for steps in dict.fromkeys(near) if steps not in tried]
        if not untried:
            beside = [steps for each in self.record.tried for steps in neighbours(each.steps, self.total, self.fixed)]
            untried = [steps for steps in dict.fromkeys(beside) if steps not in tried]
        if not untried:  # moves need not lead past a block of fixed steps
            return next((steps for steps in every(len(best.steps), self.total, self.fixed) if steps not in tried), None)
        gains, deviations = surrogate.expect(untried)
        return untried[int(np.argmax(gains + _CURIOSITY * deviations))]

    def _telling(self) -> list[Tried]:
        """What the surrogate learns from: the first candidate, and the closest of many."""
        first, *others = self.record.tried
        return [first, *sorted(others, key=lambda each: -each.mean)[: _TELLING - 1]]


def is_behind(scores: Sequence[float], best: Sequence[float], patience: float) -> bool:
    """Whether a candidate is behind on the prompts so far.

    Args:
        scores: The candidate's.
        best: The best's, at least as many.
        patience: By how many standard errors of the differences it may be behind.
    """
    gains = [one - other for one, other in zip(scores, best, strict=False)]
    error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return statistics.fmean(gains) + patience * error < 0
