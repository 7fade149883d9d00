"""Classes that attached modules have meanwhile: each is derived from the module's own, and answers to its name."""

from __future__ import annotations

from typing import Any

from torch import nn

#: Where a derived class keeps the module's own.
_OWN = "_lesa_own_class"


def own_class(module: nn.Module) -> Any:
    """A module's class; of one that has a derived class meanwhile, the one that it had."""
    return vars(type(module)).get(_OWN, type(module))


def is_derived(module: nn.Module) -> bool:
    """Whether the module has a derived class meanwhile."""
    return _OWN in vars(type(module))


def derived(own: Any, **members: Any) -> Any:
    """A class derived from a module's own.

    Args:
        own: The module's class; copies of the module are of it.
        members: What the derived class has otherwise.
    """

    def reduce(self: nn.Module, protocol: Any) -> Any:
        reduced: Any = own.__reduce_ex__(self, protocol)
        return _new, (own,), *reduced[2:]

    names = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    return type(own.__name__, (own,), {"__reduce_ex__": reduce, _OWN: own, **names, **members})


def _new(own: type[nn.Module]) -> nn.Module:
    return own.__new__(own)
