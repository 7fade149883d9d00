"""Detects a method that leaves the model changed when it is detached."""

from __future__ import annotations

from types import MethodType

from torch import nn

from lesa_framework.errors import LesaError


class ChangedModelError(LesaError):
    """A method left the model changed, so no measurement after it would be valid."""


def fingerprint(model: nn.Module) -> list[object]:
    """What a cache might change and fail to restore: modules, their classes, their forwards and their hooks.

    Two fingerprints of one model are equal if nothing of this changed.
    """
    return [
        (name, type(module), _own_forward(module), len(module._forward_hooks) + len(module._forward_pre_hooks))
        for name, module in model.named_modules()
    ]


def _own_forward(module: nn.Module) -> bool:
    bound = MethodType(type(module).forward, module)
    return bool(module.__dict__.get("forward", bound) == bound)
