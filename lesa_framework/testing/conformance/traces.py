"""What a session could leave behind in a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from torch import nn

#: Module path -> name of what is held there -> identities of its parts.
Traces: TypeAlias = Mapping[str, Mapping[str, object]]


def traces(model: nn.Module) -> Traces:
    """Everything in which an attached or once attached model may differ from a bare one.

    Classes, the keys and values of every module's `__dict__`, children and all tables of hooks, by identity.
    """
    return {path: _of_module(module) for path, module in model.named_modules()}


def differences(before: Traces, after: Traces) -> list[str]:
    """What changed, one line each; empty when nothing did."""
    found = [f"module '{path}' appeared or vanished" for path in before.keys() ^ after.keys()]
    for path in before.keys() & after.keys():
        mine, theirs = before[path], after[path]
        found += [
            f"'{path or 'model'}': {name} was {mine.get(name, 'absent')}, is {theirs.get(name, 'absent')}"
            for name in sorted({*mine, *theirs})
            if mine.get(name) != theirs.get(name)
        ]
    return sorted(found)


def _of_module(module: nn.Module) -> dict[str, object]:
    held: dict[str, object] = {"class": type(module)}
    for name, value in module.__dict__.items():
        # A table (children, parameters, hooks) is the same when it holds the same objects in the same order.
        held[name] = tuple((key, id(item)) for key, item in value.items()) if isinstance(value, dict) else id(value)
    return held
