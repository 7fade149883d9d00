"""What a session could leave in a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

from torch import nn

#: Module path -> name of what is held there -> identities of its parts.
Traces: TypeAlias = Mapping[str, Mapping[str, object]]
#: Module path, and the name of what is held there.
Place: TypeAlias = tuple[str, str]


def traces(model: nn.Module) -> Traces:
    """Everything in which an attached or once attached model may differ from a bare one.

    Classes, the keys and values of every module's `__dict__`, children and all tables of hooks, by identity.
    """
    return {path: _of_module(module) for path, module in model.named_modules()}


def differences(before: Traces, after: Traces, *, ignoring: Collection[Place] = ()) -> list[str]:
    """What changed, one line each; empty when nothing did.

    Args:
        before: The model's traces.
        after: The same model's, later.
        ignoring: Places that do not count.
    """
    vanished = [f"module '{path}' appeared or vanished" for path in before.keys() ^ after.keys()]
    return sorted(
        vanished
        + [
            f"'{path or 'model'}': {name} was {before[path].get(name, 'absent')}, is {after[path].get(name, 'absent')}"
            for path, name in changes(before, after)
            if (path, name) not in ignoring
        ]
    )


def changes(before: Traces, after: Traces) -> list[Place]:
    """Where the modules that were and are there differ."""
    return [
        (path, name)
        for path in before.keys() & after.keys()
        for name in {*before[path], *after[path]}
        if before[path].get(name) != after[path].get(name)
    ]


def _of_module(module: nn.Module) -> dict[str, object]:
    held: dict[str, object] = {"class": type(module)}
    for name, value in module.__dict__.items():
        # A table (children, parameters, hooks) is the same when it holds the same objects in the same order.
        table = isinstance(value, dict)
        held[name] = tuple((key, _Same(item)) for key, item in value.items()) if table else _Same(value)
    return held


class _Same:
    """Equal to itself alone. It holds the object: the address of one that is gone may be another's the next moment."""

    def __init__(self, held: object) -> None:
        self._held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._held is other._held

    def __hash__(self) -> int:
        return id(self._held)

    def __repr__(self) -> str:
        return f"{type(self._held).__name__} at {id(self._held):#x}"
