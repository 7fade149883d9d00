"""diffusers' group offloading with streams fetches weights a module ahead: on predicted steps, past the blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from lesa_framework.runtime.model.blocks import replaced_by_stand_ins
from lesa_framework.runtime.model.override import REGISTRY

#: The name of this hook.
_NAME = "group_offloading"


class _Nothing:
    """Comes next where nothing is to be fetched: those that fetch the next group wait in it for their own."""

    onload_self = False

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def onload_(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()


def is_offloaded(model: nn.Module) -> bool:
    """Whether the model is offloaded in that way; looks at all of its modules."""
    return REGISTRY in model.__dict__ and any(True for _ in _hooks(model))


@contextmanager
def past_the_blocks(model: nn.Module) -> Iterator[None]:
    """Let what comes before the blocks fetch what comes after them, in place of a block, while they are bypassed.

    A model that has not been called yet is left alone: the order of its modules is learned in its first call.

    Args:
        model: The transformer, which is offloaded; its block lists are empty.
    """
    hooks = list(_hooks(model))
    groups = {id(hook.group): hook.group for hook in hooks}
    entering = [hook for hook in hooks if hook.next_group is not None and id(hook.next_group) not in groups]
    fetched = {id(hook.next_group) for hook in hooks}
    left = [group for key, group in groups.items() if not group.onload_self and key not in fetched]
    before = [(hook, hook.next_group) for hook in entering]
    try:
        for hook in entering:
            hook.next_group = left[0] if len(left) == len(entering) == 1 else _Nothing(hook.group.stream)
        yield
    finally:
        for hook, group in before:
            hook.next_group = group


def _hooks(model: nn.Module) -> Iterator[Any]:
    """Of the modules that run: not of blocks, where stand-ins take their place."""
    replaced = replaced_by_stand_ins(model)
    for module in model.modules():
        if id(module) in replaced:
            continue
        registry: Any = module.__dict__.get(REGISTRY)
        hook = None if registry is None else registry.hooks.get(_NAME)
        if hook is not None:
            yield hook
