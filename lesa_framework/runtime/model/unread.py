"""Modules whose output nothing but the blocks reads, such as rotary embeddings: on predicted steps they rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.layout import is_list
from lesa_framework.runtime.model.own_class import derived, own_class
from lesa_framework.runtime.model.per_thread import PerThread
from lesa_framework.runtime.model.verify import random_state_of
from lesa_framework.runtime.model.wrapping import tensors

#: Of how many kinds of calls is remembered what rests; the oldest is forgotten first.
_KINDS = 64
_NONE: Mapping[int, Any] = {}


class Unread:
    """Those children of a model that need not run while its blocks are bypassed.

    Nobody has to name them. For each kind of call, the first computed step shows them: the same call is made again with
    bypassed blocks, and again with NaN in the place of what a child returned. A child is unread if no bit of the output
    changes, and if none changes with all of them away. Calls that differ in their shapes are believed to have the same
    unread children, and are only looked at with all of them away. On predicted steps unread children return the NaN at
    once, so a module that something does read could not go unnoticed.

    Args:
        model: The transformer.
        adapter: Names its blocks and its head, which are not looked at.
    """

    def __init__(self, model: nn.Module, adapter: BackboneAdapter) -> None:
        self._model = model
        self._known = frozenset(path.partition(".")[0] for path in (*adapter.blocks, adapter.head))
        self._children: tuple[nn.Module, ...] = ()
        self._found: dict[Hashable, Mapping[int, Any]] = {}  # what unread children return, by the kind of a call
        self._likely: dict[Hashable, Sequence[nn.Module]] = {}  # which are unread, in calls of whatever shape

    def attach(self) -> None:
        """Make the children able to rest."""
        self._children = tuple(
            child
            for name, child in self._model.named_children()
            if name not in self._known and not is_list(child) and own_class(child).__call__ is nn.Module.__call__
        )
        for child in self._children:
            child.__class__ = _restful(own_class(child))

    def detach(self) -> None:
        """Leave the model."""
        for child in self._children:
            child.__class__ = own_class(child)
        self._children = ()

    def learn(self, latent: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any], replay: Callable[[], Any]) -> None:
        """Find out which children are unread in calls like this, if that is not known.

        Args:
            latent: The model's input.
            args: What the model was called with, without names.
            kwargs: And by name.
            replay: Makes the same call, with bypassed blocks.
        """
        kind = _kind(latent, args, kwargs)
        if kind in self._found:
            return
        if len(self._found) == _KINDS:
            self._found.pop(next(iter(self._found)))
        self._found[kind] = _NONE
        family = tuple(map(_trait, args)), tuple((name, _trait(value)) for name, value in kwargs.items())
        with torch.no_grad(), random_state_of([latent]):
            # Hooks of others may count on being called.
            quiet = [child for child in self._children if not (child._forward_hooks or child._forward_pre_hooks)]
            unread = _unread(quiet, replay, self._likely.get(family))
        self._likely.setdefault(family, tuple(unread))
        self._found[kind] = {id(child): blank for child, blank in unread.items()}

    @contextmanager
    def rest(self, latent: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[None]:
        """Let the unread children of a call rest in this thread."""
        outer, _NOW.outputs = _NOW.outputs, self._found.get(_kind(latent, args, kwargs), _NONE)
        try:
            yield
        finally:
            _NOW.outputs = outer

    def check(self) -> None:
        """Let no child of this thread's calls rest, where an interrupt kept a call from ending."""
        _NOW.outputs = _NONE


class _Now(PerThread):
    """What children return without running in a thread, by their ids."""

    outputs: Mapping[int, Any] = _NONE


_NOW = _Now()


def _rest(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
    number = id(self)
    return _NOW.outputs[number] if number in _NOW.outputs else nn.Module.__call__(self, *args, **kwargs)


@cache
def _restful(own: Any) -> Any:
    """A class for modules of a class that rest when their thread says so."""
    return derived(own, __call__=_rest)


def _unread(
    children: Sequence[nn.Module], replay: Callable[[], Any], likely: Collection[nn.Module] | None
) -> dict[nn.Module, Any]:
    """The children that are unread, with what they return instead; of the likely ones, if those are known."""
    returned: dict[nn.Module, list[Any]] = {}
    try:
        with _hooked(children, lambda child, output: returned.setdefault(child, []).append(output)):
            expected = tensors(replay())
    except Exception:  # predicted steps will fail in the same way, and tell
        return {}
    blanks = {child: _blank(outputs[0]) for child, outputs in returned.items() if len(outputs) == 1}
    blanks = {child: blank for child, blank in blanks.items() if blank is not None}

    def changes_nothing(some: Mapping[nn.Module, Any]) -> bool:
        try:
            with _hooked(list(some), lambda child, output: some[child]):  # noqa: ARG005 - what it returned is replaced
                found = tensors(replay())
        except Exception:  # whatever a model says of NaN, it has read it
            return False
        return len(found) == len(expected) and all(map(torch.equal, found, expected))

    if likely is None:
        likely = [child for child, blank in blanks.items() if changes_nothing({child: blank})]
    together = {child: blank for child, blank in blanks.items() if child in likely}
    return together if together and changes_nothing(together) else {}


@contextmanager
def _hooked(children: Sequence[nn.Module], act: Callable[[nn.Module, Any], Any]) -> Iterator[None]:
    """Within it, `act` gets what a child returns, and may return something else for it."""

    def hook(child: nn.Module, args: tuple[Any, ...], output: Any) -> Any:  # noqa: ARG001 - torch's signature
        return act(child, output)

    handles = [child.register_forward_hook(hook) for child in children]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _blank(output: Any) -> Any:
    """NaN in the form of an output, one element in memory; None if some of it cannot be NaN."""
    if type(output) is Tensor and (output.is_floating_point() or output.is_complex()):
        return torch.full((), math.nan, dtype=output.dtype, device=output.device).expand(output.shape)
    if type(output) in (tuple, list):
        inner = [_blank(item) for item in output]
        return None if any(item is None for item in inner) else type(output)(inner)
    return None


def _kind(latent: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Hashable:
    """Calls of one kind run the same operations: their arguments are alike in all but the values of tensors."""
    place = latent.device.type
    casts = torch.amp.is_autocast_available(place) and torch.is_autocast_enabled(place)
    cast = torch.get_autocast_dtype(place) if casts else None
    return cast, tuple(map(_form, args)), tuple([(name, _form(value)) for name, value in kwargs.items()])


def _trait(value: Any) -> Hashable:
    """What calls of any shape have in common."""
    kind: type = type(value)
    return value if value is None or isinstance(value, bool | str) else kind


def _form(value: Any) -> Hashable:
    kind: type = type(value)
    if isinstance(value, Tensor):
        return value.shape, value.dtype, value.device
    if isinstance(value, list | tuple):
        return tuple(map(_form, value))
    if isinstance(value, dict):
        return tuple([(name, _form(item)) for name, item in value.items()])
    return value if value is None or isinstance(value, int | str) else kind
