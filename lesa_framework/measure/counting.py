"""Counts the work that a transformer does, whatever is attached to it.

Nothing is read from a peer's configuration or statistics. A block counts as called only if arithmetic was done inside
it: some peers call a block and let it return zeros, or its own input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from torch import nn

from lesa_framework.backbones import find_adapter
from lesa_framework.errors import PeerError
from lesa_framework.interfaces.peer import HasTransformer
from lesa_framework.sizing.meter import Meter


class Call(NamedTuple):
    """The work of one call of the transformer."""

    blocks: int
    """How many blocks did any arithmetic."""
    stack_flops: int
    """Floating-point operations inside the blocks."""
    flops: int
    """Those of the whole call, embeddings and head included."""


def total(calls: Sequence[Call]) -> Call:
    """The work of some calls together."""
    blocks, stack_flops, flops = ([call[part] for call in calls] for part in range(3))
    return Call(sum(blocks), sum(stack_flops), sum(flops))


@dataclass(frozen=True)
class Count:
    """The work of a run, in units of uncached steps.

    Attributes:
        num_steps: Steps of the sampler.
        block_nfe: Calls of blocks, over those of one uncached step.
        flops_nfe: Floating-point operations inside the blocks, over those of one uncached step. What always runs
            (embeddings, head) is excluded, so that a step without blocks counts 0 for every method.
        full_steps: Calls that were computed whole, over the calls of a step. What a cache does in every call, such as
            its first block, is no step. A call that did more than that, but not all, counts as the share of the rest
            that it did: some caches decide about two lists of blocks one by one.
        flops: Floating-point operations of all the transformer's calls.
        plans: One string a branch with a letter a step: F all the stack's work was done, P none of it, a digit the
            tenths of it that were (0 for less than a tenth).
        quality: How close what the run made is to what the uncached run made, higher is better; None where that is not
            measured.
    """

    num_steps: int
    block_nfe: float
    flops_nfe: float
    full_steps: float
    flops: int
    plans: tuple[str, ...]
    quality: float | None = None


@contextmanager
def counting(model: nn.Module, meter: Meter | None = None) -> Iterator[list[Call]]:
    """Count every call of the transformer inside the context. Peers may be attached before or after.

    Args:
        model: The transformer.
        meter: One that is at work already; a new one if None.

    Yields:
        All calls so far, in order.

    Raises:
        UnsupportedBackboneError: No backbone adapter knows which of the model's modules are its blocks.
    """
    adapter = find_adapter(model).adapter
    blocks = [block for path in adapter.blocks for block in model.get_submodule(path).children()]
    calls: list[Call] = []
    begun = inside = stack_flops = worked = 0

    def enter_call(*_: object) -> None:
        nonlocal begun, stack_flops, worked
        begun, stack_flops, worked = counter.flops, 0, 0

    def leave_call(*_: object) -> None:
        calls.append(Call(worked, stack_flops, counter.flops - begun))

    def enter_block(*_: object) -> None:
        nonlocal inside
        inside = counter.flops

    def leave_block(*_: object) -> None:
        nonlocal stack_flops, worked
        done = counter.flops - inside
        stack_flops, worked = stack_flops + done, worked + (done > 0)

    with ExitStack() as stack:
        counter = meter or stack.enter_context(Meter(watching=False))
        for block in blocks:
            stack.callback(block.register_forward_pre_hook(enter_block).remove)
            stack.callback(block.register_forward_hook(leave_block).remove)
        stack.callback(model.register_forward_pre_hook(enter_call).remove)
        stack.callback(model.register_forward_hook(leave_call).remove)
        yield calls


def count(calls: Sequence[Call], uncached: Sequence[Call], num_steps: int) -> Count:
    """Compare a run with the uncached run of the same workload.

    Args:
        calls: The run.
        uncached: The same run with nothing attached.
        num_steps: Steps of the sampler.

    Raises:
        PeerError: The runs did not call the transformer equally often, or not equally often a step.
    """
    branches = calls_per_step(uncached, num_steps)
    if len(calls) != len(uncached):
        raise PeerError(f"The transformer was called {len(calls)} times, uncached {len(uncached)} times.")
    done, whole = total(calls), total(uncached)
    shares = [ours.stack_flops / theirs.stack_flops for ours, theirs in zip(calls, uncached, strict=True)]
    return Count(
        num_steps=num_steps,
        block_nfe=num_steps * done.blocks / whole.blocks,
        flops_nfe=num_steps * done.stack_flops / whole.stack_flops,
        full_steps=_whole(shares) / branches,
        flops=done.flops,
        plans=tuple("".join(map(_letter, shares[branch::branches])) for branch in range(branches)),
    )


def calls_per_step(calls: Sequence[Call], num_steps: int) -> int:
    """How many times a step calls the transformer.

    Raises:
        PeerError: Not equally often at every step.
    """
    each, rest = divmod(len(calls), num_steps)
    if not each or rest:
        raise PeerError(
            f"{len(calls)} calls of the transformer in {num_steps} steps: peers are counted where every step "
            "makes the same number of calls."
        )
    return each


def _whole(shares: Sequence[float]) -> float:
    """How many calls are whole; the least share of a call is what every call has."""
    least = min(shares)
    return len(shares) if least >= 1 else math.fsum((share - least) / (1 - least) for share in shares)


def _letter(share: float) -> str:
    return "F" if share >= 1 else str(math.floor(10 * share)) if share else "P"


@dataclass(frozen=True)
class Workload:
    """The run in which the work of peers is counted and matched: a few samples, made the same way each time.

    Caches that look at the features decide once for a whole batch, so count them with the batch that is timed.

    Attributes:
        num_steps: Steps of the sampler.
        run: Samples once, with whatever is attached to the pipeline.
        uncached: The work of a run with nothing attached, call by call.
        quality: From what a run made, how close it is to what the uncached run made; None where nobody looks.
        known: What was counted already, so that searches for other targets need not run it again.
    """

    num_steps: int
    run: Callable[[], object]
    uncached: Sequence[Call]
    quality: Callable[[object], float | None] | None = None
    known: dict[object, Count] = field(default_factory=dict, compare=False, repr=False)

    @property
    def branches(self) -> int:
        """Calls of the transformer per step: 2 where guidance makes its own call."""
        return calls_per_step(self.uncached, self.num_steps)

    @property
    def blocks(self) -> int:
        """Blocks that do arithmetic in an uncached call."""
        return self.uncached[0].blocks

    def counted(self, pipe: HasTransformer) -> Count:
        """Run once and count the work that was done."""
        with counting(pipe.transformer) as calls:
            made = self.run()
        found = count(calls, self.uncached, self.num_steps)
        return found if self.quality is None else replace(found, quality=self.quality(made))


def workload_of(pipe: HasTransformer, num_steps: int, run: Callable[[], object]) -> Workload:
    """Run once with nothing attached; this run is what all others are compared with.

    Args:
        pipe: The pipeline, bare.
        num_steps: Steps of the sampler.
        run: Samples once; the same each time.

    Raises:
        UnsupportedBackboneError: No backbone adapter knows which of the model's modules are its blocks.
        PeerError: Steps do not all call the transformer equally often.
    """
    with counting(pipe.transformer) as uncached:
        run()
    calls_per_step(uncached, num_steps)
    return Workload(num_steps, run, uncached)
