"""How models wrap their output: a tensor, a list of tensors, a tuple or a dataclass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from torch import Tensor

from lesa_framework.errors import UnsupportedBackboneError
from lesa_framework.interfaces.samples import named, stacked

#: Wraps an output as a model does.
Wrapper: TypeAlias = Callable[[Tensor], Any]


def unwrap(returned: Any) -> Tensor:
    """The output itself; a list of tensors, one for each sample, is stacked.

    Raises:
        UnsupportedBackboneError: There is more than one output, or none that could be cached.
    """
    if isinstance(returned, Tensor):
        return returned
    if isinstance(returned, list):
        return stacked(returned, "the model's output")
    return unwrap(_only(_items(returned), returned))


def wrapper_like(returned: Any) -> Wrapper:
    """A function that wraps another output like `returned`; it keeps no reference to it."""
    if isinstance(returned, Tensor):
        return lambda output: output
    if isinstance(returned, list):
        return lambda output: list(output.unbind(0))
    items = _items(returned)
    inner = wrapper_like(_only(items, returned))
    if isinstance(returned, tuple):
        make: Callable[..., Any] = getattr(type(returned), "_make", tuple)  # a named tuple keeps its names
        rest = items[1:]
        return lambda output: make((inner(output), *rest))
    kind, first = type(returned), dataclasses.fields(returned)[0].name
    return lambda output: kind(**{first: inner(output)})


def tensors(returned: Any) -> list[Tensor]:
    """Every tensor in what a model returned, in order; other items are skipped."""
    if isinstance(returned, Tensor):
        return [returned]
    if isinstance(returned, Mapping):
        inner: Iterable[Any] = returned.values()
    elif dataclasses.is_dataclass(returned):
        inner = (getattr(returned, field.name) for field in dataclasses.fields(returned))
    else:
        inner = returned if isinstance(returned, list | tuple) else ()
    return [tensor for item in inner for tensor in tensors(item)]


def _items(returned: Any) -> tuple[Any, ...]:
    if isinstance(returned, tuple):
        return returned
    if dataclasses.is_dataclass(returned):
        return tuple(getattr(returned, field.name) for field in dataclasses.fields(returned))
    raise UnsupportedBackboneError(
        f"tap 'output': the model returned {named(returned)}. Valid: a tensor, a list of tensors, a tuple or a "
        "dataclass whose first item is one of them. Take another tap, or call the model with return_dict=False."
    )


def _only(items: tuple[Any, ...], returned: Any) -> Any:
    """The first item; the others have to be empty, or they would be stale on predicted steps."""
    if len(items) == 0 or any(item is not None for item in items[1:]):
        raise UnsupportedBackboneError(
            f"tap 'output': the model returned {type(returned).__name__} of "
            f"{', '.join(named(item) for item in items) or 'nothing'}; only "
            "one output can be cached. Take the tap 'pre_head' or 'post_norm'."
        )
    return items[0]
