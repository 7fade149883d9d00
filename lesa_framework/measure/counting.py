"""Counts the work that a transformer does, whatever is attached to it.

Nothing is read from a peer's configuration or statistics. A block counts as called only if arithmetic was done inside
it: some peers call a block and let it return zeros, or its own input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from lesa_framework.backbones import find_adapter
from lesa_framework.errors import PeerError
from lesa_framework.measure.meter import FlopMeter


@dataclass(frozen=True)
class Call:
    """The work of one call of the transformer.

    Attributes:
        blocks: How many blocks did any arithmetic.
        stack_flops: Floating-point operations inside the blocks.
        flops: Those of the whole call, embeddings and head included.
    """

    blocks: int
    stack_flops: int
    flops: int


@dataclass
class Tally:
    """All calls of the transformer, in order."""

    calls: list[Call] = field(default_factory=list)

    @property
    def blocks(self) -> int:
        """Number of calls of blocks that did any arithmetic."""
        return sum(call.blocks for call in self.calls)

    @property
    def stack_flops(self) -> int:
        """Floating-point operations inside the blocks."""
        return sum(call.stack_flops for call in self.calls)

    @property
    def flops(self) -> int:
        """Floating-point operations inside the transformer."""
        return sum(call.flops for call in self.calls)


@dataclass(frozen=True)
class Count:
    """The work of a run, in units of uncached steps.

    Attributes:
        num_steps: Steps of the sampler.
        block_nfe: Calls of blocks, over those of one uncached step.
        flops_nfe: Floating-point operations inside the blocks, over those of one uncached step. What always runs
            (embeddings, head) is excluded, so that a step without blocks counts 0 for every method.
        full_steps: Calls in which all blocks did all their work, over the calls of a step.
        flops: Floating-point operations of all the transformer's calls.
        plans: One string a branch with a letter a step: F all the stack's work was done, P none of it, a digit the
            tenths of it that were (0 for less than a tenth).
    """

    num_steps: int
    block_nfe: float
    flops_nfe: float
    full_steps: float
    flops: int
    plans: tuple[str, ...]


@contextmanager
def counting(model: nn.Module) -> Iterator[Tally]:
    """Count every call of the transformer inside the context. Peers may be attached before or after.

    Counting takes time, most on small models: do not report the time of these runs. Compiled code is not seen.

    Raises:
        UnsupportedBackboneError: No backbone adapter knows which of the model's modules are its blocks.
    """
    adapter = find_adapter(model).adapter
    blocks = [block for path in adapter.blocks for block in model.get_submodule(path).children()]
    tally, meter = Tally(), FlopMeter()
    counter = _Counter(meter, tally)
    with ExitStack() as stack:
        stack.enter_context(meter)
        for block in blocks:
            stack.callback(block.register_forward_pre_hook(counter.enter_block).remove)
            stack.callback(block.register_forward_hook(counter.leave_block).remove)
        stack.callback(model.register_forward_pre_hook(counter.enter_call).remove)
        stack.callback(model.register_forward_hook(counter.leave_call).remove)
        yield tally


def count(tally: Tally, uncached: Tally, num_steps: int) -> Count:
    """Compare a run with the uncached run of the same workload.

    Args:
        tally: The run.
        uncached: The same run with nothing attached.
        num_steps: Steps of the sampler.

    Raises:
        PeerError: The runs did not call the transformer equally often, or not equally often a step.
    """
    branches = calls_per_step(uncached, num_steps)
    if len(tally.calls) != len(uncached.calls):
        raise PeerError(f"The transformer was called {len(tally.calls)} times, uncached {len(uncached.calls)} times.")
    shares = [_share(call, whole) for call, whole in zip(tally.calls, uncached.calls, strict=True)]
    return Count(
        num_steps=num_steps,
        block_nfe=num_steps * tally.blocks / uncached.blocks,
        flops_nfe=num_steps * tally.stack_flops / uncached.stack_flops,
        full_steps=sum(share == 1 for share in shares) / branches,
        flops=tally.flops,
        plans=tuple("".join(map(_letter, shares[branch::branches])) for branch in range(branches)),
    )


def calls_per_step(tally: Tally, num_steps: int) -> int:
    """How many times a step calls the transformer.

    Raises:
        PeerError: Not equally often at every step.
    """
    calls, rest = divmod(len(tally.calls), num_steps)
    if not calls or rest:
        raise PeerError(
            f"{len(tally.calls)} calls of the transformer in {num_steps} steps: peers are counted where every step "
            "makes the same number of calls."
        )
    return calls


class _Counter:
    """Reads the meter when calls and blocks begin and end."""

    def __init__(self, meter: FlopMeter, tally: Tally) -> None:
        self._meter, self._tally = meter, tally
        self._begun = self._block_begun = self._stack = self._blocks = 0

    def enter_call(self, *_: Any) -> None:
        self._begun, self._stack, self._blocks = self._meter.total, 0, 0

    def leave_call(self, *_: Any) -> None:
        self._tally.calls.append(Call(self._blocks, self._stack, self._meter.total - self._begun))

    def enter_block(self, *_: Any) -> None:
        self._block_begun = self._meter.total

    def leave_block(self, *_: Any) -> None:
        done = self._meter.total - self._block_begun
        self._stack += done
        self._blocks += done > 0


def _share(call: Call, whole: Call) -> float:
    return call.stack_flops / whole.stack_flops


def _letter(share: float) -> str:
    if share >= 1:
        return "F"
    return str(math.floor(10 * share)) if share else "P"
