"""The parts that the measurement of one model is made of: what each depends on, and which process measures it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lesa_framework.errors import ConfigError
from lesa_framework.measure.cells import Entry
from lesa_framework.measure.pace import Effort, effort_of
from lesa_framework.measure.probing import Prober
from lesa_framework.measure.results import Pair
from lesa_framework.measure.store import Store, identity_of_method, identity_of_task
from lesa_framework.measure.tasks import Task
from lesa_framework.processes import World

#: A rough number of runs that the search for a peer's setting makes; only for the progress bar.
_SEARCH_RUNS = 8


class Parts:
    """The parts of one model's measurement: searches for settings, probes on the first batch, and runs on every batch.

    Processes share out what is looked at before, and the batches. All runs on a batch are one process's, so that each
    is as in one process, and times on it can be compared.

    Args:
        task: What is measured.
        environment: Versions and machine.
        metrics: Names of what the samples are scored with.
        world: The processes that measure together.

    Attributes:
        groups: The batches.
        own: Which of them this process measures. The first process has the first one.
    """

    def __init__(self, task: Task, environment: Mapping[str, str], metrics: Sequence[str], world: World) -> None:
        batch = task.spec.batch
        self.groups = [task.pairs[start : start + batch] for start in range(0, len(task.pairs), batch)]
        # A range, so that each method follows another in each round, as in one process.
        first, end = (-(-len(self.groups) * rank // world.size) for rank in (world.rank, world.rank + 1))
        self.own = range(first, end)
        self._task, self._metrics, self._world = task, metrics, world
        # Only now: what the hub has sent is known once the model is loaded.
        self._identity_of_task = identity_of_task(task, environment)

    def share(self, others: Sequence[Entry]) -> Sequence[Entry]:
        """Methods that this process probes and searches the settings of; every process probes the uncached run."""
        return others[self._world.rank :: self._world.size]

    def left(self, uncached: Entry, others: Sequence[Entry], store: Store, prober: Prober) -> Effort:
        """The work that remains for this process; that of searches is estimated."""
        first, left = self.groups[0], Effort()
        own, probed = [self.groups[number] for number in self.own], [uncached, *self.share(others)]
        for entry in (uncached, *others):
            samples = 0
            if entry.contender.peer is not None:
                choice = store.find(self.identity("choice", entry, first))
                samples, entry.choice = 0 if choice else _SEARCH_RUNS * len(first), choice or entry.choice
            if store.find(self.identity("probe", entry, first)) is None:
                samples += prober.samples(entry.contender, len(first))
            unmeasured = [group for group in own if not store.find(self.identity("run", entry, group))]
            beforehand = samples if any(entry is each for each in probed) else 0
            left += effort_of(entry.contender, beforehand + sum(map(len, unmeasured)))
        return left

    def identity(self, part: str, entry: Entry, group: Sequence[Pair]) -> dict[str, Any]:
        """Everything that a part depends on: when any of it changes, the part is measured again."""
        found = {
            **self._identity_of_task,
            "part": part,
            "method": identity_of_method(entry.contender),
            "settings": {} if part == "choice" else entry.choice.settings,
            "pairs": [(pair.prompt, pair.seed) for pair in group],
        }
        if part == "run":
            found |= {"metrics": list(self._metrics), "images": self._task.images_kept(group)}
        return found

    def check_same(self, entries: Iterable[Entry]) -> None:
        """Refuse to begin where the processes would not measure the same.

        Raises:
            ConfigError: What they were given differs.
            LesaError: Another process ended.
        """
        seen = [self.identity("run", entry, self._task.pairs) for entry in entries]
        if not self._world.agrees(hashlib.sha256(json.dumps(seen, sort_keys=True, default=str).encode()).digest()):
            raise ConfigError(
                "the processes do not measure the same: they were given other settings, or their models' files, "
                "versions or machines differ. Start all of them with the same command, on equal machines."
            )
