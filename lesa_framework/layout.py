"""Guesses how a model without an adapter is laid out: for error messages, never for caching."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any

from torch import nn

from lesa_framework.errors import did_you_mean

__all__ = ["CONTAINERS", "Guess", "arguments", "guess", "is_list", "lists_inside", "missing", "no_module", "unwrapped"]

CONTAINERS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)
"""Modules that hold blocks, and that the engine can empty."""
#: Names of the argument that holds the time, the most common first.
_TIMES = ("timestep", "timesteps", "t", "time", "sigma", "sigmas", "noise_level", "noise_labels")
_BLOCKS = ("block", "layer")
#: Words in the names of modules that end a model, and of those right after a stack.
_HEADS = frozenset({"out", "final", "head"})
_AFTER = _HEADS | {"norm"}


@dataclass(frozen=True)
class Guess:
    """How a model is probably laid out.

    Attributes:
        blocks: Paths of its stacks of blocks, in the order of their definition; empty when none was found.
        head: Path of the module after them.
        time: Name of the forward's argument that holds the time.
    """

    blocks: tuple[str, ...]
    head: str | None
    time: str | None


def guess(model: nn.Module) -> Guess:
    """How the model is probably laid out: modules are taken to run in the order of their definition."""
    stacks = list(_stacks(model))
    # Small stacks next to a large one refine the prompt or the noise level; they are not part of it.
    sizes = {path: sum(weight.numel() for weight in model.get_submodule(path).parameters()) for path in stacks}
    blocks = tuple(path for path in stacks if sizes[path] * 10 >= max(sizes.values()))
    head = _after(model, blocks[-1]) if blocks else None
    for last, words in zip(range(len(blocks), 0, -1), (_AFTER, *[_HEADS] * len(blocks)), strict=False):
        named = _after(model, blocks[last - 1], words)
        if named and named not in stacks:
            # What is defined after the head embeds something, whatever its name.
            blocks, head = blocks[:last], named
            break
    names = arguments(model)
    return Guess(blocks, head, next((name for name in _TIMES if name in names), None))


def arguments(model: nn.Module) -> tuple[str, ...]:
    """Names of the arguments of the model's forward, without `self`, `*args` and `**kwargs`."""
    parameters = list(inspect.signature(type(model).forward).parameters.values())[1:]
    return tuple(one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD))


def missing(model: nn.Module, paths: Iterable[str]) -> list[str]:
    """Those of the paths at which the model has no module."""
    there = _paths(model)
    return [path for path in paths if path not in there]


def no_module(model: nn.Module, path: str) -> str:
    """Says that the model has no module at a path, and what it has: a sentence and a half."""
    children = ", ".join(name for name, _ in model.named_children()) or "no modules"
    return f"{type(model).__name__} has no module '{path}'. It has: {children}.{did_you_mean(path, _paths(model))}"


def is_list(module: nn.Module) -> bool:
    """Whether it only holds modules and cannot be called, so that it cannot be a block itself."""
    return isinstance(module, nn.ModuleList | nn.ModuleDict)


def unwrapped(module: Any) -> Any:
    """The module that `torch.compile` has wrapped; any other one, or whatever else is given, itself."""
    # By its name: its class is in the compiler, which takes seconds to load.
    return module.__dict__["_modules"]["_orig_mod"] if type(module).__name__ == "OptimizedModule" else module


def lists_inside(path: str, container: nn.Module) -> list[str]:
    """Paths of the lists in a `ModuleDict` of lists; none for any other container.

    A `ModuleList` of lists is fine: a loop over it has nothing to do when it is empty.
    """
    if not isinstance(container, nn.ModuleDict):
        return []
    return [f"{path}.{name}" for name, child in container.items() if is_list(child)]


def _paths(model: nn.Module) -> list[str]:
    # A module that the model holds under two names has two paths.
    return [name for name, _ in model.named_modules(remove_duplicate=False) if name]


def _stacks(model: nn.Module, prefix: str = "") -> Iterator[str]:
    for name, child in model.named_children():
        path = f"{prefix}{name}"
        if _is_stack(name, child):
            yield path
        else:
            yield from _stacks(child, f"{path}.")


def _is_stack(name: str, module: nn.Module) -> bool:
    inner = list(module.children())
    alike = len({type(child) for child in inner}) == 1
    composed = any(True for child in inner for _ in child.children())
    listed = type(module) in (nn.ModuleList, nn.Sequential)
    return listed and alike and composed and (len(inner) > 1 or any(word in name for word in _BLOCKS))


def _after(model: nn.Module, path: str, words: Set[str] = frozenset()) -> str | None:
    """The first module after another; with words, the first that has one of them in its name."""
    parent, _, name = path.rpartition(".")
    siblings = [child for child, _ in model.get_submodule(parent).named_children()]
    later = [one for one in siblings[siblings.index(name) + 1 :] if not words or words & set(one.split("_"))]
    if later:
        return f"{parent}.{later[0]}" if parent else later[0]
    return _after(model, parent, words) if parent else None
