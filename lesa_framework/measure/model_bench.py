"""The loop: measures one model by a probe of each method, settings of peers before it, then rounds over all batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from lesa_framework.errors import in_one_line
from lesa_framework.interfaces.peer import Peer
from lesa_framework.measure.assembly import Measured, MeasuredRow
from lesa_framework.measure.cells import Cell
from lesa_framework.measure.counting import Workload
from lesa_framework.measure.lineup import Contender, fewer_steps
from lesa_framework.measure.matching import match, peer_with
from lesa_framework.measure.meter import release_memory
from lesa_framework.measure.probing import Outputs, Prober, Reference, with_report
from lesa_framework.measure.results import Kind, Pair
from lesa_framework.measure.scoring import Metrics, scored
from lesa_framework.measure.store import Store, identity_of_method, identity_of_task
from lesa_framework.measure.subject import Progress, Sampling, Subject
from lesa_framework.measure.tasks import Task
from lesa_framework.types import Samples

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
        self._groups = [task.pairs[start : start + task.batch] for start in range(0, len(task.pairs), task.batch)]
        self._sampling = Sampling(subject, self._groups[0])
        self._identity_of_task = identity_of_task(task, environment)
        self._reference: Reference | None = None
        self._workload: Workload | None = None
        self._warm: set[str] = {self._uncached.name}
        self._peers: dict[str, Peer] = {}
        self._choices: dict[str, Cell] = {}
        self._probes: dict[str, Cell] = {}
        self._timed_runs: dict[str, list[Cell]] = {each.name: [] for each in contenders}
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
        self._sampling.sample(replace(self._uncached, num_steps=2))
        self._sampling.progress = progress
        self._sampling.remember_model()
        self._probe_uncached()

    def round(self, number: int) -> None:
        """Time every method on one batch; one that was not looked at before is probed first."""
        group = self._groups[number]
        for each in (self._uncached, *self._in_turn(number)):
            self._extend(each, group)
        self._rounds = number + 1

    def measured(self) -> Measured:
        """Everything measured in the rounds so far; an interrupted first round counts as far as it got."""
        rounds = max(1, self._rounds)
        rows = [
            MeasuredRow(
                replace(each, nfe=self._nfe(each)),
                self._choices.get(each.name, Cell()),
                self._probes.get(each.name, Cell()),
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

    # ------------------------------------------------------------------------------------------------ each method

    def _probe_uncached(self) -> None:
        """Probe the uncached run; its outputs are kept too, because the probes of others are compared with them."""
        bare, steps = self._uncached, self._uncached.num_steps
        where = self._identity("probe", bare, self._groups[0])
        found, kept = self._store.find(where), self._store.find_tensors(where)
        if found is not None and kept is not None:
            ends = kept.pop("steps").tolist()
            outputs = Outputs([kept[f"{call:05d}"] for call in range(len(kept))], ends)
        else:
            found, outputs = self._prober.uncached(self._sampling.pipe, steps, self._sampling.run_of(bare))
            named = {f"{call:05d}": output for call, output in enumerate(outputs.calls)}
            self._store.keep(where, found, named | {"steps": torch.tensor(outputs.steps)})
        self._probes[bare.name] = found
        self._reference = Reference(found.calls or None, steps, outputs)
        if found.calls:
            searching = replace(bare, name="settings of peers")
            self._workload = Workload(steps, lambda: self._sampling.sample(searching), found.calls)

    def _look_at(self, contender: Contender) -> None:
        """Choose the settings of a peer, and probe a method, once."""
        name, first = contender.name, self._groups[0]
        if name in self._probes:
            return
        if contender.peer is not None:
            choice = self._choices[name] = self._once("choice", contender, first, lambda: self._choose(contender))
            if choice.error is not None:
                self._probes[name] = Cell(error=choice.error)
                return
        self._probes[name] = self._once("probe", contender, first, lambda: self._probe(contender))

    def _extend(self, contender: Contender, group: Sequence[Pair]) -> None:
        """Time a method on one more batch, unless it has failed."""
        self._look_at(contender)
        runs = self._timed_runs[contender.name]
        if contender is self._uncached:
            runs.append(self._uncached_run(group))
        elif self._probes[contender.name].error is None and all(run.error is None for run in runs):
            runs.append(self._once("run", contender, group, lambda: self._timed(contender, group)[0]))

    def _once(self, part: str, contender: Contender, group: Sequence[Pair], measure: Callable[[], Cell]) -> Cell:
        """A part from the store, or measured now. The next launch tries again what failed."""
        where = self._identity(part, contender, group)
        found = self._store.find(where)
        if found is not None:
            return found
        try:
            found = measure()
        except Exception as error:  # it must not cost the other methods their hours
            found = Cell(error=in_one_line(error))
        if found.error is not None:
            release_memory()
        self._sampling.check_model(contender)
        if found.error is None:
            self._store.keep(where, found)
        return found

    def _choose(self, contender: Contender) -> Cell:
        """Search for settings of a peer whose work is at or just below its NFE."""
        if self._workload is None or contender.nfe is None or contender.peer is None:
            return Cell(error="the work of this pipeline cannot be counted, so no setting can be matched to an NFE")
        found = match(
            contender.peer, self._sampling.pipe, self._workload, contender.nfe, contender.measure, self._search_seconds
        )
        if found.chosen is None:
            return Cell(note=found.note, error=found.error or "no settings were found")
        self._peers[contender.name] = found.chosen.peer
        return Cell(settings=dict(found.chosen.peer.settings), note=found.note)

    def _peer(self, contender: Contender) -> Peer | None:
        """The peer with the chosen settings, which may come from an earlier launch; None for other methods."""
        name = contender.name
        if contender.peer is not None and name not in self._peers and self._workload is not None:
            settings = self._choices[name].settings
            self._peers[name] = peer_with(contender.peer, settings, self._sampling.pipe, self._workload)
        return self._peers.get(name)

    def _probe(self, contender: Contender) -> Cell:
        assert self._reference is not None
        peer, run = self._peer(contender), self._sampling.run_of(contender)
        found = self._prober.probe(self._sampling.pipe, contender, peer, run, self._reference)
        self._warm.add(contender.name)
        return found

    def _uncached_run(self, group: Sequence[Pair]) -> Cell:
        """The uncached run's time on a batch; its samples are kept too, because others are scored against them."""
        where = self._identity("run", self._uncached, group)
        found = self._store.find(where)
        if found is None or self._store.find_tensors(where) is None:
            found, samples = self._timed(self._uncached, group)
            self._store.keep(where, found, {"images": samples.images, "latents": samples.latents})
        return found

    def _timed(self, contender: Contender, group: Sequence[Pair]) -> tuple[Cell, Samples]:
        """Run a method on a batch, and score it."""
        peer = self._peer(contender)
        if contender.name not in self._warm:  # an earlier launch has probed it, and first calls are slower
            with contender.attached(self._sampling.pipe, peer):
                self._sampling.sample(contender)
            self._warm.add(contender.name)
        samples, report, read = self._sampling.timed(contender, group, peer)
        reference = samples if contender is self._uncached else self._samples(group)
        assert reference is not None
        cell = scored(read, samples, reference, group, self._metrics, self._task.images_kept(group))
        if report is not None:
            cell = with_report(cell, report).model_copy(update={"nfe": report.nfe, "cache_bytes": report.cache_bytes})
        elif contender.kind is not Kind.PEER:
            cell = cell.model_copy(update={"nfe": contender.num_steps})
        return cell.model_copy(update={"launch": self._launch}), samples

    # ----------------------------------------------------------------------------------------------------- parts

    def _samples(self, group: Sequence[Pair]) -> Samples | None:
        """What the uncached run made of a batch; None before it was run."""
        kept = self._store.find_tensors(self._identity("run", self._uncached, group))
        return None if kept is None else Samples(kept["images"], kept["latents"])

    def _frames(self) -> int:
        samples = self._samples(self._groups[0])
        return samples.images.shape[1] if samples is not None and samples.images.ndim == 5 else 1

    def _identity(self, part: str, contender: Contender, group: Sequence[Pair]) -> dict[str, Any]:
        """Everything that a part depends on: when any of it changes, the part is measured again."""
        found = {
            **self._identity_of_task,
            "part": part,
            "method": identity_of_method(contender),
            "pairs": [(pair.prompt, pair.seed) for pair in group],
        }
        if part == "run":
            found |= {"metrics": list(self._metrics.loaded), "images": self._task.images_kept(group)}
        if part != "choice" and contender.name in self._choices:
            found["settings"] = self._choices[contender.name].settings
        return found

    def _steps_left(self) -> int:
        """Steps of the sampler that remain; those of searches are estimated."""
        first, left = self._groups[0], 0
        for each in (self._uncached, *self._others):
            runs = 0
            if each.peer is not None:
                choice = self._store.find(self._identity("choice", each, first))
                runs = 0 if choice else _SEARCH_RUNS
                self._choices |= {each.name: choice} if choice else {}
            probed = self._store.find(self._identity("probe", each, first))
            runs += 0 if probed else self._prober.runs(each)
            runs += [self._store.find(self._identity("run", each, group)) for group in self._groups].count(None)
            left += runs * each.num_steps
        return left
