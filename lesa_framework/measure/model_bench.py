"""One model's part of a benchmark: settings of peers, then an untimed run of each method, then all of them in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lesa_framework.errors import PeerError, in_one_line
from lesa_framework.generation import Samples, StepCallback, generate_batch
from lesa_framework.interfaces.peer import Peer, PeerFamily
from lesa_framework.measure import identity
from lesa_framework.measure.assembly import Measured, MeasuredRow
from lesa_framework.measure.attaching import attached
from lesa_framework.measure.cells import Choice, Probe, Turn
from lesa_framework.measure.compare import Watcher
from lesa_framework.measure.contenders import Contender
from lesa_framework.measure.matching import match
from lesa_framework.measure.probing import Reference, Run, probe, probe_uncached
from lesa_framework.measure.rows import Pair
from lesa_framework.measure.scoring import Judges, judged
from lesa_framework.measure.store import Store
from lesa_framework.measure.tasks import Task
from lesa_framework.measure.workload import Workload
from lesa_framework.pipelines import CallablePipeline

#: Runs that a search for a peer's setting makes, more or less; for the progress bar alone.
_SEARCH_RUNS = 8
#: Runs of a probe: one that is counted, one that shows what is kept.
_PROBE_RUNS = 2


class ModelBench:
    """Measures all contenders on one loaded model.

    Args:
        pipe: The pipeline, bare.
        task: Prompts, seeds and arguments.
        contenders: Who takes part, the uncached run first.
        judges: What images are judged by.
        store: Keeps what is finished.
        environment: Versions and machine.
        sitting: Names this start of the program.
        batch: Samples a call.
        images: Of how many pairs, from the first, the images are kept.
    """

    def __init__(
        self,
        pipe: CallablePipeline,
        task: Task,
        contenders: Sequence[Contender],
        judges: Judges,
        store: Store,
        environment: Mapping[str, str],
        sitting: str,
        batch: int,
        images: int,
    ) -> None:
        self._pipe, self._task, self._judges, self._store = pipe, task, judges, store
        self._uncached, self._others = contenders[0], list(contenders[1:])
        self._base = identity.of_model(task.source, task.settings, environment)
        self._sitting, self._images = sitting, images
        self._groups = [task.pairs[start : start + batch] for start in range(0, len(task.pairs), batch)]
        self._peers: dict[str, Peer] = {}
        self._warm: set[str] = set()
        self._watcher: Watcher | None = None

    def run(self, watcher: Watcher) -> Measured:
        """Measure what is not measured yet."""
        watcher.expect(self._steps_left())
        # Tables that the model makes once and keeps, and slow first calls, belong to no method.
        self._generate(replace(self._uncached, num_steps=2), self._groups[0])
        self._watcher = watcher
        choices = {each.name: self._choice(each, each.peer) for each in self._others if each.peer is not None}
        probes = {self._uncached.name: self._reference[1]}
        probes |= {each.name: self._probe(each, choices.get(each.name)) for each in self._others}
        turns: dict[str, list[Turn]] = {each.name: [] for each in (self._uncached, *self._others)}
        for number, group in enumerate(self._groups):
            turns[self._uncached.name].append(self._reference_turn(group))
            for each in self._round(number):
                if probes[each.name].error is None and all(turn.error is None for turn in turns[each.name]):
                    turns[each.name].append(self._turn(each, choices.get(each.name), group))
        rows = [
            MeasuredRow(each, choices.get(each.name), probes[each.name], turns[each.name])
            for each in (self._uncached, *self._others)
        ]
        return Measured(self._task, rows, [len(group) for group in self._groups], self._judges, self._frames())

    def _round(self, number: int) -> list[Contender]:
        """The order of a round, so that nobody always follows the same method, or the uncached run.

        In each round others begin, and every second one goes backwards.
        """
        start = number * len(self._others) // len(self._groups)
        turned = [*self._others[start:], *self._others[:start]]
        return turned[::-1] if number % 2 else turned

    # ------------------------------------------------------------------------------------------ the uncached run

    @cached_property
    def _reference(self) -> tuple[Reference, Probe]:
        steps, group = self._uncached.num_steps, self._groups[0]
        cell, tensors = (self._identity(part, self._uncached, group) for part in ("probe", "outputs"))
        found, kept = self._store.find(cell, Probe), self._store.find_tensors(tensors)
        if found is not None and kept is not None:
            ends = kept.pop("steps").tolist()
            return Reference(found.work, [kept[f"{call:05d}"] for call in range(len(kept))], ends, steps), found
        reference, found = probe_uncached(self._pipe, steps, self._sampling(self._uncached))
        outputs = {f"{call:05d}": output for call, output in enumerate(reference.outputs)}
        self._store.keep_tensors(tensors, outputs | {"steps": torch.tensor(reference.steps)})
        self._store.keep(cell, found)
        return reference, found

    def _reference_turn(self, group: Sequence[Pair]) -> Turn:
        cell, tensors = (self._identity(part, self._uncached, group) for part in ("turn", "samples"))
        found = self._store.find(cell, Turn)
        if found is None or self._store.find_tensors(tensors) is None:
            samples = self._generate(self._uncached, group)
            self._store.keep_tensors(tensors, {"images": samples.images, "latents": samples.latents})
            found = self._judge(samples, samples, group)
            self._store.keep(cell, found)
        return found

    def _samples(self, group: Sequence[Pair]) -> Samples:
        kept = self._store.find_tensors(self._identity("samples", self._uncached, group))
        assert kept is not None
        return Samples(kept["images"], kept["latents"], 0.0)

    # ------------------------------------------------------------------------------------------------ the others

    def _choice(self, contender: Contender, family: PeerFamily) -> Choice:
        where = self._identity("choice", contender, self._groups[0])
        found = self._store.find(where, Choice)
        if found is None:
            found = self._searched(contender, family)
            if found.error is None:
                self._store.keep(where, found)
        return found

    def _searched(self, contender: Contender, family: PeerFamily) -> Choice:
        if self._workload is None:
            return Choice(error="the work of this pipeline cannot be counted, so no setting can be matched to a target")
        result = match(family, self._pipe, self._workload, contender.target, contender.measure)
        if result.chosen is None:
            return Choice(note=result.note, error=result.error or "no settings were found")
        self._peers[contender.name] = result.chosen.peer
        return Choice(settings=dict(result.chosen.peer.settings), note=result.note)

    def _probe(self, contender: Contender, choice: Choice | None) -> Probe:
        if choice is not None and choice.error is not None:
            return Probe(error=choice.error)
        where = self._identity("probe", contender, self._groups[0], choice)
        found = self._store.find(where, Probe)
        if found is None:
            run = self._sampling(contender)
            try:
                found = probe(self._pipe, contender, self._peer(contender, choice), run, self._reference[0])
            except (
                Exception
            ) as error:  # one method's failure must not cost the others' hours; another start tries again
                return Probe(error=in_one_line(error))
            self._store.keep(where, found)
            self._warm.add(contender.name)
        return found

    def _turn(self, contender: Contender, choice: Choice | None, group: Sequence[Pair]) -> Turn:
        where = self._identity("turn", contender, group, choice)
        found = self._store.find(where, Turn)
        if found is None:
            try:
                self._warm_up(contender, choice)
                with attached(self._pipe, contender, self._peer(contender, choice)):
                    samples = self._generate(contender, group)
                found = self._judge(samples, self._samples(group), group)
            except Exception as error:  # as above
                return Turn(sitting=self._sitting, error=in_one_line(error))
            self._store.keep(where, found)
        return found

    def _warm_up(self, contender: Contender, choice: Choice | None) -> None:
        """Before its first timed run, unless this start has probed it: slow first calls are not a method's speed."""
        if contender.name not in self._warm:
            with attached(self._pipe, contender, self._peer(contender, choice)):
                self._generate(contender, self._groups[0])
            self._warm.add(contender.name)

    def _peer(self, contender: Contender, choice: Choice | None) -> Peer | None:
        """The peer with the settings that were chosen, perhaps by an earlier start of the program."""
        if contender.peer is None or choice is None:
            return None
        if contender.name not in self._peers and self._workload is not None:
            ladders = contender.peer.ladders(self._pipe, self._workload)
            same = [peer for ladder in ladders for peer in ladder if dict(peer.settings) == choice.settings]
            if not same:
                raise PeerError(f"{contender.name}: offers its settings {choice.settings} no more. Begin with --fresh.")
            self._peers[contender.name] = same[0]
        return self._peers[contender.name]

    @cached_property
    def _workload(self) -> Workload | None:
        """What peers are matched on; None where work cannot be counted."""
        tally, searched = self._reference[0].tally, replace(self._uncached, name="settings of peers")
        if tally is None:
            return None
        return Workload(self._uncached.num_steps, lambda: self._generate(searched, self._groups[0]), tally)

    # ----------------------------------------------------------------------------------------------------- parts

    def _generate(self, contender: Contender, group: Sequence[Pair], on_step: StepCallback | None = None) -> Samples:
        def after_step(index: int) -> None:
            if self._watcher is not None:
                self._watcher.step(contender.name)
            if on_step is not None:
                on_step(index)

        prompts, seeds = [pair.prompt for pair in group], [pair.seed for pair in group]
        settings = self._task.settings.with_steps(contender.num_steps)
        return generate_batch(self._pipe, prompts, seeds, settings, after_step)

    def _sampling(self, contender: Contender) -> Run:
        return lambda on_step: self._generate(contender, self._groups[0], on_step)

    def _judge(self, samples: Samples, reference: Samples, group: Sequence[Pair]) -> Turn:
        return judged(samples, reference, group, self._judges, self._sitting, self._kept(group))

    def _kept(self, group: Sequence[Pair]) -> int:
        """Of how many pairs of a batch, from its first, the images are kept."""
        return max(0, self._images - self._task.pairs.index(group[0]))

    def _frames(self) -> int:
        images: Tensor = self._samples(self._groups[0]).images
        return images.shape[1] if images.ndim == 5 else 1

    def _identity(
        self, part: str, contender: Contender, group: Sequence[Pair], choice: Choice | None = None
    ) -> dict[str, Any]:
        settings = None if choice is None else choice.settings
        judges = {"metrics": list(self._judges.metrics), "images": self._kept(group)} if part == "turn" else {}
        return {
            **self._base,
            **judges,
            "part": part,
            "method": identity.of_contender(contender, settings),
            "pairs": identity.of_pairs(group),
        }

    def _steps_left(self) -> int:
        """Steps of the sampler still to be made; of searches more or less."""
        first, left = self._groups[0], 0
        for each in (self._uncached, *self._others):
            choice = None
            if each.peer is not None:
                choice = self._store.find(self._identity("choice", each, first), Choice)
                left += 0 if choice else _SEARCH_RUNS * each.num_steps
            probed = self._store.find(self._identity("probe", each, first, choice), Probe)
            left += 0 if probed else _PROBE_RUNS * each.num_steps
            turns = [self._store.find(self._identity("turn", each, group, choice), Turn) for group in self._groups]
            left += turns.count(None) * each.num_steps
        return left
