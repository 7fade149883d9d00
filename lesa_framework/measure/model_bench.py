"""Measures one model: a probe of each method, settings of peers before it, then timed rounds over all batches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from torch import Tensor

from lesa_framework.errors import in_one_line
from lesa_framework.interfaces.peer import PeerFamily
from lesa_framework.measure.assembly import Measured, MeasuredRow
from lesa_framework.measure.cells import Choice, Probe, Readings, TimedRun
from lesa_framework.measure.identity import Identities
from lesa_framework.measure.lineup import Contender, fewer_steps
from lesa_framework.measure.memory import release_memory
from lesa_framework.measure.peer_settings import PeerChooser
from lesa_framework.measure.probing import Prober
from lesa_framework.measure.progress import Progress
from lesa_framework.measure.results import Kind, Pair
from lesa_framework.measure.sampling import Sampling
from lesa_framework.measure.scoring import Metrics, scored
from lesa_framework.measure.store import Store
from lesa_framework.measure.subject import Subject
from lesa_framework.measure.tasks import Task
from lesa_framework.measure.uncached_run import UncachedRun
from lesa_framework.types import RunReport, Samples

#: A rough number of runs that the search for a peer's setting makes; only for the progress bar.
_SEARCH_RUNS = 8


class ModelBench:
    """Measures all contenders on one loaded model.

    Args:
        subject: The model, bare, and how it is sampled.
        task: What is measured on it.
        contenders: The methods, the uncached run first.
        metrics: What is measured of the samples.
        prober: Runs each method before it is timed.
        store: Keeps what is finished.
        environment: Versions and machine.
        launch: Names this start of the program: times compare only within one.
        search_seconds: How long the search for one peer's setting may take.
    """

    def __init__(
        self,
        subject: Subject,
        task: Task,
        contenders: Sequence[Contender],
        metrics: Metrics,
        prober: Prober,
        store: Store,
        environment: Mapping[str, str],
        launch: str,
        *,
        search_seconds: float = math.inf,
    ) -> None:
        self._task, self._metrics, self._prober, self._store = task, metrics, prober, store
        self._launch, self._search_seconds = launch, search_seconds
        self._uncached, self._others = contenders[0], list(contenders[1:])
        self._identities = Identities(task, environment, list(metrics.loaded))
        self._groups = [task.pairs[start : start + task.batch] for start in range(0, len(task.pairs), task.batch)]
        self._sampling = Sampling(subject, self._groups[0])
        self._reference = UncachedRun(self._uncached, self._groups[0], self._sampling, prober, store, self._identities)
        self._warm: set[str] = set()
        self._choices: dict[str, Choice] = {}
        self._probes: dict[str, Probe] = {}
        self._timed_runs: dict[str, list[TimedRun]] = {each.name: [] for each in contenders}
        self._rounds = 0

    def run(self, progress: Progress) -> Measured:
        """Measure everything that has not been measured yet.

        Raises:
            ChangedModelError: A method left the model changed. What is finished is kept.
        """
        self.prepare(progress)
        for each in self._others:
            self._look_at(each)
        for number in range(len(self._groups)):
            self.round(number)
        self._run_plain_beside_dynamic()
        return self.measured()

    def prepare(self, progress: Progress) -> None:
        """Warm the model up, and probe the uncached run."""
        progress.expect(self._steps_left())
        # Tables that the model makes once and keeps, and slow first calls, belong to no method.
        self._sampling.sample(replace(self._uncached, num_steps=2), self._groups[0])
        self._sampling.progress = progress
        self._sampling.remember_model()
        self._probes[self._uncached.name] = self._reference.probed[1]

    def round(self, number: int) -> None:
        """Time every method on one batch; one that was not looked at before is probed first."""
        group = self._groups[number]
        self._timed_runs[self._uncached.name].append(self._uncached_run(group))
        for each in self._in_turn(number):
            self._extend(each, group)
        self._rounds = number + 1

    def measured(self) -> Measured:
        """Everything measured in the rounds so far; an interrupted first round counts as far as it got."""
        rounds = max(1, self._rounds)
        rows = [
            MeasuredRow(
                replace(each, nfe=self._nfe(each)),
                self._choices.get(each.name),
                self._probes.get(each.name, Probe()),
                self._timed_runs[each.name][:rounds],
            )
            for each in (self._uncached, *self._others)
        ]
        groups = self._groups[:rounds]
        task = replace(self._task, pairs=[pair for group in groups for pair in group])
        return Measured(task, rows, [len(group) for group in groups], self._metrics, self._frames())

    def _in_turn(self, number: int) -> list[Contender]:
        """The order of a round, so that no method always follows the same one, or the uncached run.

        Each round begins with another method, and every second one is backwards.
        """
        start = number * len(self._others) // len(self._groups)
        turned = [*self._others[start:], *self._others[:start]]
        return turned[::-1] if number % 2 else turned

    def _nfe(self, contender: Contender) -> int | None:
        """The NFE at which it competes: as planned or, where that depends on data, the most that a batch needed."""
        reported = [run.nfe for run in self._timed_runs[contender.name] if run.nfe is not None]
        return contender.nfe if contender.nfe is not None else max(reported, default=None)

    def _run_plain_beside_dynamic(self) -> None:
        """A plain run with as many steps for caches whose NFE was not known before."""
        known = {each.nfe for each in self._others if each.kind is Kind.FEWER_STEPS}
        dynamic = {self._nfe(each) for each in self._others if each.nfe is None}
        for nfe in sorted(found for found in dynamic - known if found is not None):
            plain = fewer_steps(nfe)
            self._others.append(plain)
            self._timed_runs[plain.name] = []
            for group in self._groups:
                self._extend(plain, group)

    def _uncached_run(self, group: Sequence[Pair]) -> TimedRun:
        found = self._reference.find(group)
        if found is None:
            found, samples = self._timed(self._uncached, group)
            self._reference.keep(group, found, samples)
        return found

    # ------------------------------------------------------------------------------------------------ the others

    @cached_property
    def _chooser(self) -> PeerChooser:
        tally, steps = self._reference.probed[0].tally, self._uncached.num_steps
        return PeerChooser(self._sampling, self._groups[0], tally, steps, self._search_seconds)

    def _choice(self, contender: Contender, family: PeerFamily) -> Choice:
        where = self._identities.of("choice", contender, self._groups[0])
        found = self._store.find(where, Choice)
        if found is None:
            found = self._chooser.choose(contender, family)
            self._sampling.check_model(contender)
            if found.error is None:
                self._store.keep(where, found)
        return found

    def _probe(self, contender: Contender) -> Probe:
        choice = self._choices.get(contender.name)
        if choice is not None and choice.error is not None:
            return Probe(error=choice.error)
        where = self._identity("probe", contender, self._groups[0])
        found = self._store.find(where, Probe)
        if found is None:
            run = self._sampling.run_of(contender)
            try:
                peer = self._chooser.peer(contender, choice)
                found = self._prober.probe(self._sampling.pipe, contender, peer, run, self._reference.probed[0])
            except Exception as error:  # it must not cost the other methods their hours; the next launch tries again
                found = Probe(error=in_one_line(error))
            self._finish(contender, found.error)
            if found.error is None:
                self._store.keep(where, found)
                self._warm.add(contender.name)
        return found

    def _look_at(self, contender: Contender) -> None:
        """Choose the settings of a peer, and probe a method, once."""
        if contender.name in self._probes:
            return
        if contender.peer is not None:
            self._choices[contender.name] = self._choice(contender, contender.peer)
        self._probes[contender.name] = self._probe(contender)

    def _extend(self, contender: Contender, group: Sequence[Pair]) -> None:
        """Time a method on one more batch, unless it has failed."""
        self._look_at(contender)
        runs = self._timed_runs[contender.name]
        if self._probes[contender.name].error is None and all(run.error is None for run in runs):
            runs.append(self._run(contender, group))

    def _run(self, contender: Contender, group: Sequence[Pair]) -> TimedRun:
        where = self._identity("run", contender, group)
        found = self._store.find(where, TimedRun)
        if found is None:
            try:
                found, _ = self._timed(contender, group)
            except Exception as error:  # as above
                found = TimedRun(launch=self._launch, error=in_one_line(error))
            self._finish(contender, found.error)
            if found.error is None:
                self._store.keep(where, found)
        return found

    def _timed(self, contender: Contender, group: Sequence[Pair]) -> tuple[TimedRun, Samples]:
        """Run a method on a batch, and score it."""
        peer = self._chooser.peer(contender, self._choices.get(contender.name)) if contender.peer is not None else None
        if contender is not self._uncached and contender.name not in self._warm:  # an earlier launch has probed it
            self._sampling.warm_up(contender, peer)
            self._warm.add(contender.name)
        samples, report, readings = self._sampling.timed(contender, group, peer)
        reference = samples if contender is self._uncached else self._reference.samples(group)
        assert reference is not None
        run = scored(samples, reference, group, self._metrics, self._launch, self._identities.images_kept(group))
        return _with_run(run, contender, report, readings), samples

    # ----------------------------------------------------------------------------------------------------- parts

    def _finish(self, contender: Contender, error: str | None) -> None:
        """After a method was detached: free what a failure left, and verify that the model is as before."""
        if error is not None:
            release_memory()
        self._sampling.check_model(contender)

    def _identity(self, part: str, contender: Contender, group: Sequence[Pair]) -> dict[str, Any]:
        choice = self._choices.get(contender.name)
        return self._identities.of(part, contender, group, None if choice is None else choice.settings)

    def _frames(self) -> int:
        samples = self._reference.samples(self._groups[0])
        images: Tensor | None = None if samples is None else samples.images
        return images.shape[1] if images is not None and images.ndim == 5 else 1

    def _steps_left(self) -> int:
        """Steps of the sampler that remain; those of searches are estimated."""
        first, left = self._groups[0], 0
        for each in (self._uncached, *self._others):
            settings = None
            if each.peer is not None:
                choice = self._store.find(self._identities.of("choice", each, first), Choice)
                settings = None if choice is None else choice.settings
                left += 0 if choice else _SEARCH_RUNS * each.num_steps
            probed = self._store.find(self._identities.of("probe", each, first, settings), Probe)
            left += 0 if probed else self._prober.runs(each) * each.num_steps
            where = [self._identities.of("run", each, group, settings) for group in self._groups]
            left += [self._store.find(one, TimedRun) for one in where].count(None) * each.num_steps
        return left


def _with_run(run: TimedRun, contender: Contender, report: RunReport | None, readings: Readings) -> TimedRun:
    """A timed run, with its session's report and its subject's readings."""
    if report is None:
        nfe = None if contender.kind is Kind.PEER else contender.num_steps
        return run.model_copy(update={"nfe": nfe, "readings": readings})
    return run.model_copy(
        update={
            "nfe": report.nfe,
            "plans": {branch: report.plan(branch) for branch in report.branches},
            "fallbacks": {reason.value: times for reason, times in report.fallbacks.items()},
            "readings": replace(readings, cache_bytes=report.cache_bytes),
        }
    )
