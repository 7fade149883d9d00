"""Searches a peer's setting on a few of the model's blocks first, because whole runs of the real model take minutes.

A peer's ladder is climbed on a model with few blocks that is narrow, too, in seconds: an interval does the same at any
width, and where a threshold does not, what follows corrects it. The search goes on, from the rung that was found, on as
few blocks with the model's own width, inputs and first weights. What is counted there is translated to the real depth.
At full size a run or two then confirm it. A peer that is told its steps has nothing to search.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from benchmarks.full_size.cases import Case, narrow
from benchmarks.full_size.device import Device
from benchmarks.full_size.sampler import Denoiser, build_denoiser
from lesa_framework import HasTransformer, PeerFamily
from lesa_framework.measure.counting import Call, Count, Workload, count, counting
from lesa_framework.measure.matching import Match, Measure, Trial, match
from lesa_framework.measure.told import Told

#: More than any peer here always computes (cache-dit's default are 8), so that every ladder can be climbed.
BLOCKS = 9
_LAYERS = ("num_layers", "num_single_layers")


def shallow(case: Case, blocks: int = BLOCKS) -> Case | None:
    """The case with about so many blocks, of each kind as large a share as it has; None if it has no more."""
    depths = {name: case.config[name] for name in _LAYERS if name in case.config}
    whole = sum(depths.values())
    if whole <= blocks:
        return None
    fewer = {name: max(1, round(depth * blocks / whole)) for name, depth in depths.items()}
    return replace(case, config={**case.config, **fewer})


@dataclass(frozen=True)
class ShallowWorkload(Workload):
    """Runs of a shallow model, counted as if it were deep.

    Attributes:
        deep: The work of the deep model's uncached run, call by call.
    """

    deep: Sequence[Call] = field(kw_only=True)

    def counted(self, pipe: HasTransformer) -> Count:
        """Run once, and count the work that the same decisions would be in the deep model."""
        with counting(pipe.transformer) as calls:
            self.run()
        found = [as_deep(*each) for each in zip(calls, self.uncached, self.deep, strict=True)]
        return count(found, self.deep, self.num_steps)


def as_deep(call: Call, shallow_call: Call, deep_call: Call) -> Call:
    """A call of the shallow model, as it would be in the deep one.

    Where every block did something, each block of the deep model would do the same share. Where only some did, these
    are the few that a peer always computes: as many would be computed in the deep model.

    Args:
        call: What was done.
        shallow_call: The same call with nothing attached.
        deep_call: That of the deep model.
    """
    if call.blocks < shallow_call.blocks:
        return call
    share = call.stack_flops / shallow_call.stack_flops
    return Call(deep_call.blocks, round(share * deep_call.stack_flops), deep_call.flops)


class Bracket:
    """The search of a full-size benchmark: on few blocks first, then at full depth. See `match`.

    Args:
        case: The model.
        device: Where it is.
        seed: Of prompts and noise.
        seconds: How long the search for one peer's setting may take, both parts together.
        deadline: `time.monotonic()` after which nothing is searched on few blocks.
        say: Shows progress.
        blocks: How many blocks.
    """

    def __init__(
        self,
        case: Case,
        device: Device,
        seed: int,
        seconds: float,
        deadline: float,
        say: Callable[[str], None],
        blocks: int = BLOCKS,
    ) -> None:
        self._case, self._device, self._seed = shallow(case, blocks), device, seed
        self._seconds, self._deadline, self._say = seconds, deadline, say

    def __call__(
        self, family: PeerFamily, pipe: HasTransformer, workload: Workload, nfe: float, measure: Measure
    ) -> Match:
        """Search; the note says what was done where, and what was not finished."""
        if isinstance(family, Told):
            return _only(family, pipe, workload)
        began = time.monotonic()
        first, blocks = None, 0
        if self._case is not None and began < self._deadline and family.refusal(pipe) is None:
            first, blocks = self._on_few_blocks(self._case, family, pipe, workload, nfe, measure)
            self._device.free()  # peers leave cycles behind, which hold the model that they were attached to
        left = self._seconds - (time.monotonic() - began)
        found = match(family, pipe, workload, nfe, measure, left, start=first)
        if first is None or first.chosen is None:
            return found
        told = (
            f"Searched on {blocks} of {workload.blocks} blocks first ({len(first.tried)} runs, "
            f"{measure.of(first.chosen.work):.2f} expected), then on all ({len(found.tried)})."
        )
        return replace(found, note=" ".join(filter(None, (told, first.note if first.reached else "", found.note))))

    def _on_few_blocks(
        self, case: Case, family: PeerFamily, pipe: HasTransformer, deep: Workload, nfe: float, measure: Measure
    ) -> tuple[Match | None, int]:
        """Climb the ladders on few blocks, in half of the time.

        Returns:
            What was found, None where there is no memory for them; and on how many.
        """
        began = time.monotonic()
        start = self._narrow(case, family, deep, nfe, measure)
        self._device.free()
        try:
            few = build_denoiser(case, self._device, self._seed)
        except torch.OutOfMemoryError:
            return None, 0
        few.transformer.load_state_dict(pipe.transformer.state_dict(), strict=False)  # the model's own first blocks
        workload = _workload(few, deep)
        self._say(f"{family.name}: searching on {workload.blocks} of {deep.blocks} blocks")
        left = self._seconds / 2 - (time.monotonic() - began)
        return match(family, few, workload, nfe, measure, left, start=start), workload.blocks

    def _narrow(self, case: Case, family: PeerFamily, deep: Workload, nfe: float, measure: Measure) -> Match | None:
        """Climb them on a narrow model first, in a quarter of the time; None where the case is narrow already."""
        thin = narrow(case)
        if thin == case:
            return None
        few = build_denoiser(thin, self._device, self._seed)
        workload = _workload(few, deep)
        self._say(f"{family.name}: searching on {workload.blocks} narrow blocks")
        # Only what was found is handed on: how much a narrow block does is not how much a wide one does.
        found = match(family, few, workload, nfe, measure, self._seconds / 4)
        return replace(found, finished=False) if found.chosen is not None else None


def _only(family: Told, pipe: HasTransformer, workload: Workload) -> Match:
    """The one candidate of a family that is told its steps, with the work that is expected: the probe counts it."""
    refused = family.refusal(pipe)
    if refused is not None:
        return Match(error=refused)
    ((peer,),) = family.ladders(pipe, workload)
    calls = [
        call if number // workload.branches in family.steps else Call(0, 0, 0)
        for number, call in enumerate(workload.uncached)
    ]
    return Match(Trial(peer, count(calls, workload.uncached, workload.num_steps)), reached=True)


def _workload(few: Denoiser, deep: Workload) -> ShallowWorkload:
    """All uncached steps are alike, so one is enough to know them."""
    with counting(few.transformer) as calls:
        few.run(deep.num_steps, stop=1)
    return ShallowWorkload(deep.num_steps, partial(few.run, deep.num_steps), calls * deep.num_steps, deep=deep.uncached)
