"""Other people's caches, set so that they do about as much work as ours at the headline interval."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.full_size.cases import Case, paper_steps
from benchmarks.full_size.methods import Attached, Method
from benchmarks.full_size.sampler import Denoiser
from lesa_framework.errors import PeerError
from lesa_framework.interfaces.peer import PeerFamily
from lesa_framework.measure.counting import Tally, counting
from lesa_framework.measure.matching import Match, Trial, match
from lesa_framework.measure.workload import Workload
from lesa_framework.plugin.manager import plugins


def peers_of(case: Case, seconds: float, say: Callable[[str], None]) -> list[Method]:
    """A method for each family of peers that a plugin registered.

    Args:
        case: The model.
        seconds: How long the search for a family's settings may take.
        say: Told about progress.
    """
    target = len(paper_steps(case.intervals[0], case.num_steps))
    return [
        Method(family.name, _Matched(family, target, seconds, say).attach, case.num_steps)
        for family in plugins().registry.peers.items().values()
    ]


@dataclass
class _Matched:
    """A family whose settings are searched for when it is first attached.

    Attributes:
        family: The family.
        target: Uncached steps whose work it may do.
        seconds: How long to search.
        say: Told about progress.
        found: The settings and their work, when they are known, with what a reader should know.
    """

    family: PeerFamily
    target: int
    seconds: float
    say: Callable[[str], None]
    found: tuple[Trial, str] | None = field(default=None)

    @contextmanager
    def attach(self, denoiser: Denoiser) -> Iterator[Attached]:
        """Put the peer in.

        Raises:
            PeerError: It does not fit the model, or none of its settings ran.
        """
        self.found = self.found or self._search(denoiser)
        trial, note = self.found
        with trial.peer.attach(denoiser):
            yield Attached(settings=trial.peer.settings, note=note)

    def _search(self, denoiser: Denoiser) -> tuple[Trial, str]:
        self.say(f"{self.family.name}: looking for settings that do the work of {self.target} steps")
        limit = _Limit(denoiser, time.monotonic() + self.seconds)
        workload = Workload(denoiser.case.num_steps, limit.run, uncached(denoiser))
        result = match(self.family, denoiser, workload, self.target)
        if limit.passed:
            return self._best(result)
        if result.chosen is None:
            raise PeerError(result.error or "no settings were found")
        return result.chosen, result.note

    def _best(self, result: Match) -> tuple[Trial, str]:
        """Of a search that was cut short."""
        if not result.tried:
            raise PeerError(f"no settings were found in {self.seconds:.0f} s. Raise --budget.")
        works = [(result.measure.of(trial.work), trial) for trial in result.tried]
        within = [each for each in works if each[0] <= self.target]
        work, trial = max(within, key=lambda each: each[0]) if within else min(works, key=lambda each: each[0])
        return trial, f"The search was cut short after {len(works)} runs: it does {work:.2f}, wanted was {self.target}."


@dataclass
class _Limit:
    """Runs that are broken off when their time is over."""

    denoiser: Denoiser
    until: float
    passed: bool = False

    def run(self) -> None:
        """Sample; a GPU's work is asked for only a little ahead, so the clock of the CPU will do."""
        handle = self.denoiser.transformer.register_forward_pre_hook(self._check)
        try:
            self.denoiser.run(self.denoiser.case.num_steps)
        finally:
            handle.remove()

    def _check(self, *_: object) -> None:
        if time.monotonic() > self.until:
            self.passed = True
            raise PeerError("the time for the search was over")


def uncached(denoiser: Denoiser) -> Tally:
    """The bare model's work, from one step: all are alike."""
    with counting(denoiser.transformer) as tally:
        denoiser.run(denoiser.case.num_steps, stop=1)
    return Tally(tally.calls * denoiser.case.num_steps)
