"""The loop: measures one model by a probe of each method, settings of peers before it, then rounds over all batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from lesa_framework.errors import in_one_line
from lesa_framework.measure.assembly import Measured
from lesa_framework.measure.cells import Cell, Entry
from lesa_framework.measure.counting import Workload
from lesa_framework.measure.lineup import Contender, fewer_steps, naming
from lesa_framework.measure.matching import Search, match, peer_with
from lesa_framework.measure.meter import release_memory
from lesa_framework.measure.pace import warmed_up
from lesa_framework.measure.parts import Parts
from lesa_framework.measure.probing import Outputs, Prober, Reference, with_report
from lesa_framework.measure.results import QUALITY, Kind, Pair
from lesa_framework.measure.scoring import Metrics, finite_or_none, mean, scored
from lesa_framework.measure.store import Store
from lesa_framework.measure.subject import ChangedModelError, Progress, Subject
from lesa_framework.measure.tasks import Task
from lesa_framework.processes import ALONE, World
from lesa_framework.report import CallReport
from lesa_framework.types import Samples


class ModelBench:
    """Measures all contenders on one loaded model.

    Args:
        subject: The model, bare.
        task: What is measured on it.
        contenders: The methods, the uncached run first.
        metrics: Measure the samples.
        prober: Runs each method before it is timed.
        store: Keeps what is finished.
        environment: Versions and machine.
        launch: Names this start of the program: times compare only within one.
        search: Finds a peer's settings; `match` as it is.
        world: The processes that measure together, each on a model of its own. They share out what is looked at
            before, and the batches: all runs on a batch are one process's.
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
        search: Search = match,
        world: World = ALONE,
    ) -> None:
        self._subject, self._task, self._metrics, self._prober, self._store = subject, task, metrics, prober, store
        self._launch, self._search, self._world, self._machine = launch, search, world, environment
        self._bare = f"{task.source.name}: the uncached run"
        self._uncached, *self._others = [Entry(each) for each in contenders]
        self._parts = Parts(task, environment, list(metrics.loaded), world)
        self._groups = self._parts.groups
        self._clean: list[list[object]] = []
        self._reference: Reference | None = None
        self._workload: Workload | None = None
        self._judged_by: object = None
        self._rounds = 0

    def run(self, progress: Progress) -> Measured:
        """Measure everything that has not been measured yet.

        Raises:
            ChangedModelError: A method left the model changed. What is finished is kept.
            LesaError: The uncached run is not finite, the processes do not measure the same, or another one ended.
        """
        self._parts.check_same((self._uncached, *self._others))
        self.prepare(progress)
        for entry in self._parts.share(self._others):
            self._look_at(entry)
        self._store.exchange()
        for entry in self._others:
            self._look_at(entry)
        for number in self._parts.own:
            self.round(number)
        self._gather()
        self._run_plain_beside_dynamic()
        return self.measured()

    def prepare(self, progress: Progress) -> None:
        """Warm the model up, and probe the uncached run."""
        # Tables that the model makes once and keeps, and slow first calls, belong to no method.
        pace = warmed_up(self._subject, self._groups[0])
        left = self._parts.left(self._uncached, self._others, self._store, self._prober)
        progress.expect(left.steps, pace.seconds(left))
        self._subject.progress = progress
        self._clean = self._subject.fingerprints()
        self._probe_uncached()

    def round(self, number: int, timed: Callable[[], object] = lambda: None) -> None:
        """Time every method on one batch; one that was not looked at before is probed first.

        Each round begins with another method, and every second one is backwards, so that no method always follows the
        same one, or the uncached run.

        Args:
            number: Which batch.
            timed: Called after each method.
        """
        group, start = self._groups[number], number * len(self._others) // len(self._groups)
        turned = [*self._others[start:], *self._others[:start]]
        self._uncached.runs.append(self._uncached_run(group))
        timed()
        for entry in turned[::-1] if number % 2 else turned:
            self._extend(entry, group)
            timed()
        self._rounds = number + 1

    def measured(self) -> Measured:
        """Everything measured in the rounds so far; an interrupted first round counts as far as it got."""
        rounds = max(1, self._rounds)
        entries = [replace(entry, runs=entry.runs[:rounds]) for entry in (self._uncached, *self._others)]
        groups = self._groups[:rounds]
        task = replace(self._task, pairs=[pair for group in groups for pair in group])
        samples = self._samples(self._groups[0])
        frames = samples.images.shape[1] if samples is not None and samples.images.ndim == 5 else 1
        metrics = replace(self._metrics, loaded={})  # models of metrics fill a GPU, and have done their work
        return Measured(task, entries, [len(group) for group in groups], metrics, frames, self._machine)

    def _gather(self) -> None:
        """Know of the runs of all processes."""
        if self._world.size == 1:
            return
        self._store.exchange()
        self._rounds = len(self._groups)
        for entry in (self._uncached, *self._others):
            entry.runs = []
            for group in self._groups:
                run = self._store.find(self._parts.identity("run", entry, group))
                if run is None or entry.error is not None:
                    break
                entry.runs.append(run)

    def _run_plain_beside_dynamic(self) -> None:
        """Plain runs with as many steps for caches whose NFE was not known before."""
        known = {entry.nfe for entry in self._others if entry.contender.kind is Kind.FEWER_STEPS}
        dynamic = {entry.nfe for entry in self._others if entry.contender.nfe is None}
        for nfe in sorted(found for found in dynamic - known if found is not None):
            for solver in ("", *self._task.spec.samplers):
                self._others.append(Entry(fewer_steps(nfe, solver)))
                for number in self._parts.own:
                    self._extend(self._others[-1], self._groups[number])
        self._gather()

    # ------------------------------------------------------------------------------------------- the uncached run

    def _probe_uncached(self) -> None:
        """Probe the uncached run; its outputs are kept too, because the probes of others are compared with them."""
        entry, bare, first = self._uncached, self._uncached.contender, self._groups[0]
        where = self._parts.identity("probe", entry, first)
        entry.probe, kept = self._store.find(where), self._store.find_tensors(where)
        if entry.probe is not None and kept is not None:
            ends = kept.pop("steps").tolist()
            outputs = Outputs([kept[f"{call:05d}"] for call in range(len(kept))], ends)
        else:
            with naming(self._bare):
                entry.probe, outputs = self._prober.uncached(self._subject, bare, first)
            named = {f"{call:05d}": output for call, output in enumerate(outputs.calls)}
            self._store.keep(where, entry.probe, named | {"steps": torch.tensor(outputs.steps)})
        calls = entry.probe.calls or None
        self._reference = Reference(calls, bare.num_steps, outputs)
        if calls is not None:
            searching = replace(bare, name="settings of peers")
            quality = self._quality if QUALITY in self._metrics.loaded else None
            self._workload = Workload(bare.num_steps, lambda: self._subject.sample(searching, first), calls, quality)

    def _uncached_run(self, group: Sequence[Pair]) -> Cell:
        """The uncached run's time on a batch; its samples are kept too, because others are scored against them."""
        where = self._parts.identity("run", self._uncached, group)
        found = self._store.find(where)
        if found is None or self._store.find_tensors(where) is None:
            with naming(self._bare):
                found, samples = self._timed(self._uncached, group)
            self._store.keep(where, found, {"images": samples.images, "latents": samples.latents})
        return found

    def _samples(self, group: Sequence[Pair]) -> Samples | None:
        """What the uncached run made of a batch; None before it was run."""
        kept = self._store.find_tensors(self._parts.identity("run", self._uncached, group))
        return None if kept is None else Samples(kept["images"], kept["latents"])

    # ------------------------------------------------------------------------------------------------ the others

    def _look_at(self, entry: Entry) -> None:
        """Choose the settings of a peer, and probe a method, once."""
        first = self._groups[0]
        if entry.probe is not None or entry.error is not None:
            return
        if entry.contender.peer is not None:
            entry.choice = self._once("choice", entry, first, lambda: self._choose(entry))
        if entry.error is None:
            entry.probe = self._once("probe", entry, first, lambda: self._probe(entry))

    def _extend(self, entry: Entry, group: Sequence[Pair]) -> None:
        """Time a method on one more batch, unless it has failed."""
        self._look_at(entry)
        if entry.error is None:
            entry.runs.append(self._once("run", entry, group, lambda: self._run(entry, group)))

    def _once(self, part: str, entry: Entry, group: Sequence[Pair], measure: Callable[[], Cell]) -> Cell:
        """A part from the store, or measured now. The next launch tries again what failed.

        Raises:
            ChangedModelError: The method was detached and left the model changed.
        """
        where = self._parts.identity(part, entry, group)
        found = self._store.find(where)
        if found is not None:
            return found
        try:
            found = measure()
        except Exception as error:  # it must not cost the other methods their hours
            found = Cell(error=in_one_line(error))
        if found.error is not None:
            release_memory()
        if self._subject.fingerprints() != self._clean:
            raise ChangedModelError(
                f"{entry.contender.name} was detached and left the model changed, so nothing measured after it would "
                "be valid. Exclude it and start again."
            )
        (self._store.keep if found.error is None else self._store.fail)(where, found)
        return found

    def _choose(self, entry: Entry) -> Cell:
        """Search for settings of a peer whose work is at or just below its NFE."""
        contender = entry.contender
        if self._workload is None or contender.nfe is None or contender.peer is None:
            return Cell(error="the work of this pipeline cannot be counted, so no setting can be matched to an NFE")
        if self._workload.quality is not None and self._judged_by is None:
            self._judged_by = self._workload.run()
        found = self._search(contender.peer, self._subject.pipe, self._workload, contender.nfe, contender.measure)
        if found.chosen is None:
            return Cell(note=found.note, error=found.error or "no settings were found")
        entry.peer = found.chosen.peer
        return Cell(settings=dict(found.chosen.peer.settings), note=found.note)

    def _quality(self, made: object) -> float | None:
        """How close a batch that a peer made on the way to its settings is to the uncached run's."""
        assert isinstance(made, Samples)
        assert isinstance(self._judged_by, Samples)
        prompts = [pair.prompt for pair in self._groups[0]]
        return mean(finite_or_none(self._metrics.loaded[QUALITY].measure(made, self._judged_by, prompts)))

    def _find_peer(self, entry: Entry) -> None:
        """Make a peer with settings that an earlier launch has found."""
        family = entry.contender.peer
        if family is not None and entry.peer is None and self._workload is not None:
            entry.peer = peer_with(family, entry.choice.settings, self._subject.pipe, self._workload)

    def _probe(self, entry: Entry) -> Cell:
        assert self._reference is not None
        self._find_peer(entry)
        found = self._prober.probe(self._subject, entry, self._groups[0], self._reference)
        entry.warm = True
        return found

    def _run(self, entry: Entry, group: Sequence[Pair]) -> Cell:
        """Time a method on a batch."""
        self._find_peer(entry)
        if not entry.warm:  # an earlier launch has probed it, and first calls are slower
            with entry.attached(self._subject.pipe):
                self._subject.sample(entry.contender, self._groups[0])
            entry.warm = True
        reference = self._samples(group)
        assert reference is not None  # the uncached run is the first of each round
        return self._timed(entry, group, reference)[0]

    # ----------------------------------------------------------------------------------------------------- parts

    def _timed(self, entry: Entry, group: Sequence[Pair], reference: Samples | None = None) -> tuple[Cell, Samples]:
        """Attach a method, sample a batch, detach it, and score the samples; against themselves without a reference."""
        contender = entry.contender

        def run() -> tuple[Samples, CallReport | None]:
            with entry.attached(self._subject.pipe) as session:
                samples = self._subject.sample(contender, group)
                return samples, None if session is None else session.report

        (samples, report), read = self._subject.timed(run)
        cell = scored(read, samples, reference or samples, group, self._metrics, self._task.images_kept(group))
        if report is not None:
            cell = with_report(cell, report).model_copy(update={"nfe": report.nfe, "cache_bytes": report.cache_bytes})
        elif contender.kind is not Kind.PEER:
            cell = cell.model_copy(update={"nfe": contender.num_steps})
        return cell.model_copy(update={"launch": self._launch}), samples
