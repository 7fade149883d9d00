"""Restores a pipeline and its model to what they were, whatever was attached in between.

The peers' own ways to detach leave things behind: bound methods in place of a class's `forward`, registries of hooks,
patched methods of classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from lesa_framework import HasTransformer


@contextmanager
def pristine(pipe: HasTransformer) -> Iterator[None]:
    """Restore the attributes of the pipeline, its class and every module of its transformer on leaving the context.

    Weights are not copied: what is written into a tensor stays written.
    """
    kinds = {type(pipe)} | {type(module) for module in pipe.transformer.modules()}
    classes = {kind: dict(vars(kind)) for kind in kinds}
    attributes = dict(vars(pipe))
    modules = [(module, _Snapshot(module)) for module in pipe.transformer.modules()]
    try:
        yield
    finally:
        for module, snapshot in modules:
            snapshot.put_back(module)
        vars(pipe).clear()
        vars(pipe).update(attributes)
        for kind, before in classes.items():
            _put_back_class(kind, before)


class _Snapshot:
    """A module's attributes, and the contents of its own dictionaries (submodules, hooks)."""

    def __init__(self, module: nn.Module) -> None:
        self._attributes = dict(vars(module))
        self._held = {name: dict(value) for name, value in vars(module).items() if isinstance(value, dict)}

    def put_back(self, module: nn.Module) -> None:
        vars(module).clear()
        vars(module).update(self._attributes)
        for name, before in self._held.items():
            held = self._attributes[name]
            if not _same(held, before):
                held.clear()
                held.update(before)


def _same(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
    """Whether both hold the same objects in the same order."""
    return list(one) == list(other) and all(one[key] is other[key] for key in one)


def _put_back_class(kind: type, before: dict[str, Any]) -> None:
    for name in [name for name in vars(kind) if name not in before]:
        delattr(kind, name)
    for name, value in before.items():
        if vars(kind).get(name) is not value:
            setattr(kind, name, value)
