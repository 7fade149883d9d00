"""Twins of a model for a compiler: they share its weights, and have the tap where the head is, or no blocks."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.layout import is_list
from lesa_framework.runtime.model.head import foreign, hidden_place
from lesa_framework.runtime.model.override import CALLING
from lesa_framework.runtime.model.own_class import is_derived, own_class
from lesa_framework.types import Tap

#: What a twin's forward gives: the output, the feature that was read, and how often the head was called.
Ran: TypeAlias = tuple[Any, Tensor | None, int]

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
#: What a twin has otherwise than the module.
_BUILT = ("_modules", *_HOOKS)


class Twin:
    """A model that takes or gives the feature, without anything that would have to be traced.

    Adapter, hooks and views of the block lists serve any caller in any thread, and no compiler can follow them. A twin
    is a plain module instead: it has the model's class and its very children, parameters and buffers, but its block
    lists are lists of their own, full or empty, and a seat for the feature stands where the head was.

    Args:
        model: The transformer.
        adapter: How it is laid out.
        tap: Where the feature is.
        bypassed: Whether the blocks are left out.
    """

    def __init__(self, model: nn.Module, adapter: BackboneAdapter, tap: Tap, *, bypassed: bool) -> None:
        self._adapter, self._tap, self._bypassed = adapter, tap, bypassed
        self._seat = _Seat()
        self._build(model)
        # A compiler keeps what it made of a function with the function's code, and each twin is another case.
        code = _run.__code__.replace()
        self.run: Callable[..., Ran] = FunctionType(code, _run.__globals__, _run.__name__)

    def arguments(self, model: nn.Module, latent: Tensor, feature: Tensor | None) -> tuple[Any, ...]:
        """What `run` takes before the arguments of the model's forward.

        Args:
            model: The same model, as it is now.
            latent: Its input.
            feature: For the head; None where it is to be read.
        """
        if any(now != before for now, before in zip(self._states(model), self._before, strict=True)):
            self._build(model)
        self._twin.__dict__.update(_without((*CALLING, *_BUILT), model))
        for original, twin in self._pairs:
            twin.__dict__.update(_without(_BUILT, original))
        dtype = latent.dtype if self._adapter.head_in_float32 else None
        return type(model).forward, self._twin, self._seat, feature, dtype

    def clear(self) -> None:
        """Hold no tensor: a call that failed may have left one."""
        self._seat.put = self._seat.read = None

    def _build(self, model: nn.Module) -> None:
        self._twin = _copied(model, CALLING)
        self._pairs: list[tuple[nn.Module, nn.Module]] = []  # the other modules that are copied, and their copies
        for name, child in model.named_children():
            if is_derived(child) and not is_list(child):  # no compiler can follow what that class does
                self._replace(name, self._copy(child))
        for path in self._adapter.blocks:
            container = model.get_submodule(path)
            returns = self._adapter.block_returns.get(path)
            self._replace(path, self._emptied(container, returns) if self._bypassed else self._shown(container))
        head = self._copy(model.get_submodule(self._adapter.head))  # without the hooks of a session
        if self._tap is not Tap.OUTPUT:
            head = _SeatedHead(head, self._seat, self._tap, *hidden_place(self._adapter, head))
        self._replace(self._adapter.head, head)
        self._before = self._states(model)

    def _states(self, model: nn.Module) -> list[dict[Any, Any]]:
        """The children of what was copied, and its hooks, to notice when they are exchanged."""
        copied = (model, *(original for original, _ in self._pairs))
        return [dict(state) for one in copied for state in (one.__dict__["_modules"], *map(foreign, _hooks(one)))]

    def _copy(self, module: nn.Module) -> nn.Module:
        """Another module with the same attributes, and the same children until they are replaced."""
        twin = _copied(module)
        self._pairs.append((module, twin))
        return twin

    def _replace(self, path: str, new: nn.Module) -> None:
        *parents, name = path.split(".")
        holder = self._twin
        copies = {id(twin) for _, twin in self._pairs}
        for parent in parents:
            child = holder.__dict__["_modules"][parent]
            if id(child) not in copies:
                child = holder.__dict__["_modules"][parent] = self._copy(child)
            holder = child
        holder.__dict__["_modules"][name] = new

    def _shown(self, container: nn.Module) -> nn.Module:
        """A list of its own class with the same blocks; of lists in it, too."""
        twin = self._copy(container)
        children = twin.__dict__["_modules"]
        for name, block in children.items():
            if block is not None and is_list(block):
                children[name] = self._shown(block)
        return twin

    def _emptied(self, container: nn.Module, returns: Collection[str] | None) -> nn.Module:
        twin = self._copy(container)
        children = twin.__dict__["_modules"]
        if returns is None:
            children.clear()
            return twin
        for name, block in children.items():
            if block is not None:
                children[name] = self._emptied(block, returns) if is_list(block) else _Passing(block, returns)
        return twin


@dataclass(eq=False)
class _Seat:
    """What a call gives to the head, and what it reads there."""

    put: Tensor | None = None
    read: Tensor | None = None
    dtype: torch.dtype | None = None
    calls: int = 0


class _SeatedHead(nn.Module):
    """The head, which gets or gives the feature."""

    def __init__(self, head: nn.Module, seat: _Seat, tap: Tap, name: str, place: int) -> None:
        super().__init__()
        self.head, self._seat, self._is_before = head, seat, tap is Tap.PRE_HEAD
        self._name, self._place = name, place

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        seat = self._seat
        seat.calls += 1
        if not self._is_before:
            return self._after(self.head(*args, **kwargs))
        if self._name in kwargs:
            kwargs = {**kwargs, self._name: self._used(kwargs[self._name])}
        else:
            args = (*args[: self._place], self._used(args[self._place]), *args[self._place + 1 :])
        return self.head(*args, **kwargs)

    def _used(self, given: Tensor) -> Tensor:
        seat = self._seat
        if seat.put is None:
            seat.read = given if seat.dtype is None else given.to(seat.dtype)
            return given
        return seat.put if seat.dtype is None else seat.put.to(given.dtype)

    def _after(self, output: Any) -> Any:
        seat, several = self._seat, isinstance(output, tuple)
        if seat.put is None:
            seat.read = output[0] if several else output
            return output
        return (seat.put, *output[1:]) if several else seat.put


class _Passing(nn.Module):
    """In a block's place: returns of its arguments what the block would return in their place."""

    def __init__(self, block: nn.Module, returns: Collection[str]) -> None:
        super().__init__()
        # Its modules too: some forwards read a block's parts.
        self.__dict__.update(_without((*CALLING, *_HOOKS), block))
        names = list(inspect.signature(block.forward).parameters)
        self._places = tuple((name, names.index(name)) for name in returns)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        values = tuple(kwargs[name] if name in kwargs else args[place] for name, place in self._places)
        return values[0] if len(values) == 1 else values


def _run(
    forward: Callable[..., Any],
    twin: nn.Module,
    seat: _Seat,
    feature: Tensor | None,
    dtype: torch.dtype | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Ran:
    seat.put, seat.read, seat.dtype, seat.calls = feature, None, dtype, 0
    output = forward(twin, *args, **kwargs)
    read = seat.read
    seat.put = seat.read = None
    return output, read, seat.calls


def _copied(module: nn.Module, without: Collection[str] = ()) -> nn.Module:
    own = own_class(module)
    twin: nn.Module = own.__new__(own)
    twin.__dict__.update(_without((*without, *_BUILT), module))
    twin.__dict__["_modules"] = dict(module.__dict__["_modules"])
    for name, hooks in zip(_HOOKS, _hooks(module), strict=True):
        twin.__dict__[name] = OrderedDict(foreign(hooks))
    return twin


def _without(names: Collection[str], module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in names}


def _hooks(module: nn.Module) -> list[Any]:
    return [vars(module)[name] for name in _HOOKS]
