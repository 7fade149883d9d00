"""The containers that hold a model's blocks: empty on predicted steps, checked on the first computed step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any, TypeAlias

from torch import nn

from lesa_framework.errors import PluginContractError, UnsupportedBackboneError
from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.layout import CONTAINERS, is_list, lists_inside
from lesa_framework.runtime.model.conflicts import forward_of
from lesa_framework.runtime.model.own_class import derived, is_derived, own_class
from lesa_framework.runtime.model.per_thread import PerThread

#: What is done in place of a block: (its stand-in, its arguments) -> what the block would have returned.
_Act: TypeAlias = "Callable[[_StandIn, tuple[Any, ...], dict[str, Any]], Any]"
#: What lists show, by their ids.
Shown: TypeAlias = dict[int, dict[str, nn.Module | None]]


class BlockLists:
    """The block lists that an adapter names, in one model.

    A list stays the object that it is, with the blocks that it has. While the model's forward runs, it shows others, or
    none, to the thread that runs it: whoever copies, saves or moves the model meanwhile sees its blocks. Attaching
    gives it a class for that, derived from its own, so that subclasses of `Sequential` and the like keep their forward.

    Args:
        model: The transformer.
        adapter: Names the lists.

    Raises:
        UnsupportedBackboneError: A list does not exist, is not a container or is a `ModuleDict` of lists, or none of
            them holds a block.
    """

    def __init__(self, model: nn.Module, adapter: BackboneAdapter) -> None:
        self._model, self._adapter = model, adapter
        self._lists: dict[str, nn.Module] = {}
        self._acts = {path: self._passing(path) for path in adapter.blocks}
        # By their blocks' ids: to make them takes longer than what they do.
        self._stand_ins: dict[int, _StandIn] = {}
        self._origin = forward_of(model)
        for path in adapter.blocks:
            container = submodule(model, adapter, path)
            if not isinstance(container, CONTAINERS):
                raise UnsupportedBackboneError(
                    f"{type(adapter).__name__}: blocks names '{path}', which is a {type(container).__name__} in "
                    f"{type(model).__name__}. Valid: a ModuleList, Sequential or ModuleDict. Name the list inside it: "
                    f"it has {_children(container)}."
                )
            self._lists[path] = container
            inner = lists_inside(path, container)
            if inner:
                raise UnsupportedBackboneError(
                    f"{type(adapter).__name__}: blocks names '{path}' of {type(model).__name__}, a ModuleDict of "
                    f"lists, which its forward could not read if it were empty. Name the lists inside it: "
                    f"{', '.join(inner)}."
                )
        if not any(self._lists[path]._modules for path in adapter.blocks):
            raise UnsupportedBackboneError(
                f"{type(adapter).__name__}: blocks {list(adapter.blocks)} hold no block in "
                f"{type(model).__name__}, so nothing would be saved. Name the lists that hold the blocks, among "
                f"{_children(model)}."
            )

    def check(self) -> None:
        """Check that the model still has the lists that it had, with their blocks in them.

        Raises:
            UnsupportedBackboneError: One was exchanged, so that bypassing what it held would change nothing.
        """
        for path, container in self._lists.items():
            if self._model._modules.get(path) is container:  # most are children of the model itself
                continue
            now = self._model.get_submodule(path)
            if now is not container:
                held = ", ".join({f"{type(block).__module__}.{type(block).__name__}" for block in now.children()})
                raise UnsupportedBackboneError(
                    f"{type(self._model).__name__}: '{path}' is not the list that it was when the session was "
                    f"attached; it holds {held or 'nothing'}. If that is another cache, disable it. Otherwise detach "
                    "the session and accelerate again."
                )
        if _SHOWN.blocks:
            for each in self._containers():
                _SHOWN.blocks.pop(id(each), None)  # where an interrupt kept a call from doing so

    def attach(self) -> None:
        """Let the lists show others than they have."""
        for container in self._containers():
            own: Any = type(container)
            container.__class__ = own if is_derived(container) else _showing(own)

    def detach(self) -> None:
        """Give the lists their own classes again."""
        self._stand_ins.clear()
        for container in self._containers():
            container.__class__ = own_class(container)

    def _containers(self) -> Iterator[nn.Module]:
        for container in self._lists.values():
            yield from _lists_in(container)

    def bypass(self) -> Shown:
        """Bypass the blocks in this thread: the lists are empty, or hold stand-ins if the adapter needs them.

        Returns:
            What the thread saw before; give it to `restore`.
        """
        return self._show(self._acts.__getitem__, self._stand_in)

    def restore(self, shown: Shown) -> None:
        """Let this thread see again what it saw before."""
        _SHOWN.blocks = shown

    @contextmanager
    def watched(self, closed: Callable[[], bool]) -> Iterator[None]:
        """Check the calls of the blocks inside the context; they run as usual.

        Args:
            closed: Whether the head was called already.

        Raises:
            PluginContractError: On leaving, if no block of one of the lists was called, or one was called after the
                head.
        """
        called: set[str] = set()
        late: set[str] = set()

        def calling(path: str) -> _Act:
            def act(stand_in: _StandIn, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                called.add(path)
                if closed():
                    late.add(path)
                return stand_in.block(*args, **kwargs)

            return act

        outer = self._show(calling, _StandIn)
        try:
            yield
        finally:
            self.restore(outer)
        idle = [path for path in self._adapter.blocks if path not in called and self._lists[path]._modules]
        if idle:
            raise PluginContractError(
                f"{type(self._adapter).__name__}: {type(self._model).__name__} called no block of {idle} on a computed "
                f"step, so bypassing it would save nothing.{self._origin} Set blocks to the lists that its forward "
                f"runs through, among {_children(self._model)}. Leave out a list that only some calls run: it then "
                "runs on predicted steps too."
            )
        after = [path for path in self._adapter.blocks if path in late]
        if after:
            raise PluginContractError(
                f"{type(self._adapter).__name__}: {type(self._model).__name__} called blocks of {after} after "
                f"'{self._adapter.head}', the head; what they do would be lost on predicted steps. Set head to the "
                f"module after the last block, or remove {after} from blocks so that they run on every step."
            )

    def failed(self, error: Exception) -> None:
        """Add a note to an error of the model's own code, that its blocks were bypassed."""
        returns = self._adapter.block_returns
        empty = [path for path in self._adapter.blocks if path not in returns]
        stand_ins = [path for path in self._adapter.blocks if path in returns]
        held = [f"{empty} are empty"] * bool(empty) + [f"{stand_ins} hold stand-ins"] * bool(stand_ins)
        error.add_note(
            f"{type(self._adapter).__name__}: this happened in {type(self._model).__name__} while its blocks were "
            f"bypassed, as on every predicted step: {' and '.join(held)}. If its forward reads a list by number or "
            "key, or uses after the loop what the loop sets, give block_returns for that list. If another list "
            "passes on or takes what these would have made (skips, for example), name all of the lists."
        )

    def _show(self, act: Callable[[str], _Act | None], make: Callable[[nn.Module, _Act], nn.Module]) -> Shown:
        outer = _SHOWN.blocks
        shown = _SHOWN.blocks = dict(outer)
        for path, container in self._lists.items():
            _show(container, act(path), make, shown)
        return outer

    def _stand_in(self, block: nn.Module, act: _Act) -> nn.Module:
        found = self._stand_ins.get(id(block))
        if found is None:
            found = self._stand_ins[id(block)] = _StandIn(block, act)
        return found

    def _passing(self, path: str) -> _Act | None:
        """A function that returns a block's arguments as the block would return them; None to empty the list."""
        returns = self._adapter.block_returns.get(path)
        if returns is None:
            return None

        def act(stand_in: _StandIn, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            given = stand_in._signature.bind(*args, **kwargs).arguments
            missing = [name for name in returns if name not in given]
            if missing:
                raise PluginContractError(
                    f"{type(self._adapter).__name__}: block_returns: the blocks of '{path}' were not called with "
                    f"{missing}. Valid: {list(given)}."
                )
            values = tuple(given[name] for name in returns)
            return values[0] if len(values) == 1 else values

        return act


def submodule(model: nn.Module, adapter: BackboneAdapter, path: str) -> nn.Module:
    """The module at a path that the adapter names.

    Raises:
        UnsupportedBackboneError: The model has no such module; the message lists what it has.
    """
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        raise UnsupportedBackboneError(
            f"{type(adapter).__name__} expects '{path}' in {type(model).__name__}, which has: {_children(model)}."
        ) from error


class _StandIn(nn.Module):
    """Has a block's attributes, and does something else when called."""

    def __init__(self, block: nn.Module, act: _Act) -> None:
        super().__init__()
        self.block, self._act = block, act

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._modules["block"], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._act(self, args, kwargs)

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.block.forward)


def replaced_by_stand_ins(model: nn.Module) -> set[int]:
    """The ids of all modules, with those in them, in whose place stand-ins run in this thread."""
    stand_ins = [module for module in model.modules() if isinstance(module, _StandIn)]
    return {id(inner) for each in stand_ins for inner in each.block.modules()}


class _Shown(PerThread):
    """What lists show to a thread, by their ids."""

    def __init__(self) -> None:
        self.blocks: Shown = {}


_SHOWN = _Shown()


def _show(container: nn.Module, act: _Act | None, make: Callable[[nn.Module, _Act], nn.Module], shown: Shown) -> None:
    """Let a list show nothing, or stand-ins for its blocks; of lists in it, theirs."""
    blocks = shown[id(container)] = {}
    if act is None:
        return
    for name, block in container.__dict__["_modules"].items():  # with its gaps
        blocks[name] = block if block is None or is_list(block) else make(block, act)
        if block is not None and is_list(block):
            _show(block, act, make, shown)


def _lists_in(container: nn.Module) -> Iterator[nn.Module]:
    """A list, and the lists in it."""
    yield container
    for block in container.__dict__["_modules"].values():
        if block is not None and is_list(block):
            yield from _lists_in(block)


@cache
def _showing(own: Any) -> Any:
    """A class for lists of a class: whatever reads what they hold gets what they show to its thread."""

    def held(self: nn.Module) -> dict[str, nn.Module | None]:
        modules: dict[str, nn.Module | None] = self.__dict__["_modules"]
        return _SHOWN.blocks.get(id(self), modules)

    def hold(self: nn.Module, modules: dict[str, nn.Module | None]) -> None:
        self.__dict__["_modules"] = modules

    return derived(own, _modules=property(held, hold))


def _children(module: nn.Module) -> str:
    return ", ".join(name for name, _ in module.named_children()) or "nothing"
