"""What a cache would take if it cost nothing: on the steps in between the block lists are empty, and that is all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count

from torch import nn

from lesa_framework import HasTransformer, Peer, PeerSettings, PeerWorkload, find_adapter

NAME = "floor"


class FloorFamily:
    """Takes the place of a cache that is told its steps. Its pictures are worth nothing, and its time is the least."""

    name = NAME

    def refusal(self, pipe: HasTransformer) -> str | None:  # noqa: ARG002 - the contract's signature
        """None: it only needs an adapter."""
        return None

    def at(self, steps: Sequence[int], pipe: HasTransformer, workload: PeerWorkload) -> Peer:  # noqa: ARG002 - likewise
        """The floor of these computed steps."""
        return Floor(tuple(steps), workload.branches)


@dataclass(frozen=True)
class Floor:
    """Empties the block lists during the calls of all other steps.

    Attributes:
        steps: The steps to compute.
        branches: Calls of the transformer a step.
    """

    steps: tuple[int, ...]
    branches: int
    name: str = NAME

    @property
    def settings(self) -> PeerSettings:
        """None."""
        return {}

    def attach(self, pipe: HasTransformer) -> AbstractContextManager[None]:
        """Attach it; leaving the context detaches it."""
        model, calls = pipe.transformer, count()
        return hidden(model, find_adapter(model).adapter.blocks, lambda: next(calls) // self.branches not in self.steps)


@contextmanager
def hidden(model: nn.Module, blocks: Sequence[str], now: Callable[[], bool]) -> Iterator[None]:
    """In the context, some calls of a model find its block lists empty. Between calls the blocks are in their lists.

    Args:
        model: The model.
        blocks: Paths of its block lists.
        now: Tells at the beginning of each call whether it is one of them.
    """
    lists = [model.get_submodule(path)._modules for path in blocks]
    held: list[dict[str, nn.Module | None]] = []

    def hide(*_: object) -> None:
        if now():
            held[:] = [dict(modules) for modules in lists]
            for modules in lists:
                modules.clear()

    def show(*_: object) -> None:
        for modules, those in zip(lists, held, strict=False):
            modules.update(those)
        held.clear()

    # Around the marks of a stopwatch that is running already: what these do is not timed.
    handles = [
        model.register_forward_pre_hook(hide, prepend=True),
        model.register_forward_hook(show, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
