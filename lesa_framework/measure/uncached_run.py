"""The uncached run, which every method is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch

from lesa_framework.measure.cells import Probe, TimedRun
from lesa_framework.measure.counting import Tally
from lesa_framework.measure.identity import Identities
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.probing import Prober, Reference
from lesa_framework.measure.results import Pair
from lesa_framework.measure.sampling import Sampling
from lesa_framework.measure.store import Store
from lesa_framework.types import Samples


class UncachedRun:
    """Keeps the uncached run's probe, outputs and samples, so that a resumed benchmark need not repeat it.

    Args:
        contender: The uncached run.
        first: The batch on which methods are probed.
        sampling: Samples it.
        prober: Probes it.
        store: Keeps what is finished.
        identities: Names the parts for the store.
    """

    def __init__(
        self,
        contender: Contender,
        first: Sequence[Pair],
        sampling: Sampling,
        prober: Prober,
        store: Store,
        identities: Identities,
    ) -> None:
        self._contender, self._first, self._sampling = contender, first, sampling
        self._prober, self._store, self._identities = prober, store, identities

    @cached_property
    def probed(self) -> tuple[Reference, Probe]:
        """Its probe, and what the probes of other methods are compared with."""
        steps = self._contender.num_steps
        cell, tensors = (self._identities.of(part, self._contender, self._first) for part in ("probe", "outputs"))
        found, kept = self._store.find(cell, Probe), self._store.find_tensors(tensors)
        if found is not None and kept is not None:
            ends = kept.pop("steps").tolist()
            tally = Tally(found.calls) if found.calls else None
            return Reference(tally, [kept[f"{call:05d}"] for call in range(len(kept))], ends, steps), found
        run = self._sampling.run_of(self._contender)
        reference, found = self._prober.uncached(self._sampling.pipe, steps, run)
        outputs = {f"{call:05d}": output for call, output in enumerate(reference.outputs)}
        self._store.keep_tensors(tensors, outputs | {"steps": torch.tensor(reference.steps)})
        self._store.keep(cell, found)
        return reference, found

    def find(self, group: Sequence[Pair]) -> TimedRun | None:
        """Its timed run on a batch, if that is finished and its samples are there."""
        found = self._store.find(self._identities.of("run", self._contender, group), TimedRun)
        return None if self.samples(group) is None else found

    def keep(self, group: Sequence[Pair], run: TimedRun, samples: Samples) -> None:
        """Keep a timed run and its samples."""
        tensors = {"images": samples.images, "latents": samples.latents}
        self._store.keep_tensors(self._identities.of("samples", self._contender, group), tensors)
        self._store.keep(self._identities.of("run", self._contender, group), run)

    def samples(self, group: Sequence[Pair]) -> Samples | None:
        """What it made of a batch; None before it was run."""
        kept = self._store.find_tensors(self._identities.of("samples", self._contender, group))
        return None if kept is None else Samples(kept["images"], kept["latents"], 0.0)
