"""Modules whose output nothing but the blocks reads, such as rotary embeddings: on predicted steps they rest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.layout import is_list
from lesa_framework.runtime.model.own_class import derived, is_derived, own_class
from lesa_framework.runtime.model.per_thread import PerThread
from lesa_framework.runtime.model.verify import random_state_of
from lesa_framework.runtime.model.wrapping import tensors

#: Of how many kinds of calls is remembered what rests; the oldest is forgotten first.
_KINDS = 64
#: What modules return without running, by their ids.
Blanks: TypeAlias = Mapping[int, Any]
_NONE: Blanks = {}


class Unread:
    """Those children of a model that need not run while its blocks are bypassed.

    Nobody has to name them. For each kind of call, the first computed step shows them: the same call is made again with
    bypassed blocks, and again with NaN in the place of what a child returned. A child is unread if nobody writes to the
    NaN and no bit of the output changes, and if the same holds with all of them away. Calls that differ in their shapes
    are believed to have the same unread children, and are only looked at with all of them away. On predicted steps
    unread children return the NaN at once, so a module that something does read could not go unnoticed.

    Args:
        model: The transformer.
        adapter: Names its blocks and its head, which are not looked at.
    """

    def __init__(self, model: nn.Module, adapter: BackboneAdapter) -> None:
        self._model = model
        self._known = frozenset(path.partition(".")[0] for path in (*adapter.blocks, adapter.head))
        self._children: tuple[nn.Module, ...] = ()
        self._found: dict[Hashable, Blanks] = {}  # by the kind of a call
        self._likely: dict[Hashable, Collection[int]] = {}  # the same in calls of whatever shape, by their ids

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
            if is_derived(child):  # else somebody has derived another class meanwhile
                child.__class__ = own_class(child)
        self._children = ()
        self._found.clear()
        self._likely.clear()

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

        def with_blanks(blanks: Blanks) -> list[Tensor]:
            _remember(self._found, kind, blanks)
            return tensors(replay())

        family = tuple(map(_trait, args)), tuple((name, _trait(value)) for name, value in kwargs.items())
        unread = _NONE
        try:
            with torch.no_grad(), random_state_of([latent]):
                unread = _unread(self._model, with_blanks, self._likely.get(family))
        finally:
            _remember(self._found, kind, unread)
        _remember(self._likely, family, tuple(unread))

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
    """What children do in a thread.

    Attributes:
        outputs: What they return without running.
        returned: Where they note what they returned when they ran; None to note nothing.
    """

    outputs: Blanks = _NONE
    returned: list[tuple[int, Any]] | None = None


_NOW = _Now()


def _rest(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
    if self._forward_hooks or self._forward_pre_hooks:  # of others, who may count on being called
        return nn.Module.__call__(self, *args, **kwargs)
    number = id(self)
    if number in _NOW.outputs:
        return _NOW.outputs[number]
    output = nn.Module.__call__(self, *args, **kwargs)
    if _NOW.returned is not None:
        _NOW.returned.append((number, output))
    return output


@cache
def _restful(own: Any) -> Any:
    """A class for modules of a class that rest when their thread says so."""
    return derived(own, __call__=_rest)


def _unread(model: nn.Module, with_blanks: Callable[[Blanks], list[Tensor]], likely: Collection[int] | None) -> Blanks:
    """What unread children return.

    Args:
        model: The transformer.
        with_blanks: Makes a call in which some children rest.
        likely: The only ones that are looked at; None for all.
    """
    before, returned = _state(model), list[tuple[int, Any]]()
    _NOW.returned = returned
    try:
        expected = with_blanks(_NONE)
    except Exception:  # predicted steps will fail in the same way, and tell
        return _NONE
    finally:
        _NOW.returned = None
    if _state(model) != before:  # a model that learns from its calls must not learn NaN
        return _NONE
    times = Counter(number for number, _ in returned)
    blanks = {
        number: blank for number, output in returned if times[number] == 1 and (blank := _blank(output)) is not None
    }

    def is_same(some: Blanks) -> bool:
        try:
            found = with_blanks(some)
        except Exception:  # whatever a model says of NaN, it has read it
            return False
        return len(found) == len(expected) and all(map(torch.equal, found, expected))

    def changes_nothing(some: Blanks) -> bool:
        # With memory of their own: a model that writes to one must not spoil those of all sessions.
        tried = {number: _apart(blank) for number, blank in some.items()}
        # Where one is written to, the output may not show that it is read.
        return is_same(tried) and not any(map(_is_written, tensors(list(tried.values()))))

    if likely is None:
        likely = [number for number, blank in blanks.items() if changes_nothing({number: blank})]
    together = {number: blank for number, blank in blanks.items() if number in likely}
    # In the end as predicted steps have them: some operations refuse numbers that share their memory.
    return together if together and changes_nothing(together) and is_same(together) else _NONE


def _state(model: nn.Module) -> list[tuple[int, int]]:
    """What changes when a model writes to its buffers."""
    return [(id(buffer), 0 if buffer.is_inference() else buffer._version) for buffer in model.buffers()]


def _remember(store: dict[Hashable, Any], key: Hashable, value: Any) -> None:
    if key not in store and len(store) == _KINDS:
        store.pop(next(iter(store)))
    store[key] = value


def _blank(output: Any) -> Any:
    """NaN in the form of an output; None if some of it cannot be NaN."""
    if type(output) is Tensor and (output.is_floating_point() or output.is_complex()):
        return _nan(output.dtype, output.device).expand(output.shape)
    if type(output) in (tuple, list):
        inner = [_blank(item) for item in output]
        return None if any(item is None for item in inner) else type(output)(inner)
    return None


@cache
def _nan(dtype: torch.dtype, device: torch.device) -> Tensor:
    """One number in memory, for all sessions."""
    with torch.inference_mode(mode=False):  # others may ask for gradients
        return torch.full((), math.nan, dtype=dtype, device=device)


for _dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64, torch.complex128):
    _nan(_dtype, torch.device("cpu"))  # there before anybody measures what a session keeps


def _apart(blank: Any) -> Any:
    """A blank whose numbers each have memory of their own, to be written to."""
    if isinstance(blank, Tensor):
        with torch.inference_mode(mode=False):  # so that it counts what is written
            return blank.clone()
    return type(blank)(map(_apart, blank))


def _is_written(blank: Tensor) -> bool:
    """Whether anything has been written to a new blank, be it NaN; some kernels do not count it."""
    return blank._version > 0 or not bool(blank.isnan().all())


def _kind(latent: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Hashable:
    """Calls of one kind run the same operations: their arguments are alike in all but the values of tensors."""
    place = latent.device.type
    casts = torch.amp.is_autocast_available(place) and torch.is_autocast_enabled(place)
    cast = torch.get_autocast_dtype(place) if casts else None
    return cast, tuple(map(_form, args)), tuple([(name, _form(value)) for name, value in kwargs.items()])


def _trait(value: Any) -> Hashable:
    """What calls of any shape have in common; of a number, whether it is 0, which often switches something off."""
    kind: type = type(value)
    if isinstance(value, float):
        return kind, bool(value)
    return value if value is None or isinstance(value, bool | str) else kind


def _form(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        return value.shape, value.dtype, value.device
    if isinstance(value, list | tuple):  # whole numbers in a list are sizes; alone they may count the steps
        return tuple([item if type(item) is int else _form(item) for item in value])
    if isinstance(value, dict):
        return tuple([(name, _form(item)) for name, item in value.items()])
    return _trait(value)
