"""Counts floating-point operations with torch's own counter, at little more than the cost of the run.

The counter sends every operator through Python, which makes a small model ten times as slow. But what an operator
does depends on its shapes alone: each is counted once a shape, and looked up from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

_Key: TypeAlias = tuple[object, ...]


class FlopMeter(TorchFunctionMode):
    """Inside, `total` grows by the floating-point operations of every function of torch that is called."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self._known: dict[_Key, int] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a function, and add what it does."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") == "__get__":  # `.shape` and the like
            return func(*args, **kwargs)
        key = (func, *_shapes(args), *_shapes(kwargs.values()))
        flops = self._known.get(key)
        if flops is None:
            with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
                result = func(*args, **kwargs)
            flops = self._known[key] = int(counter.get_total_flops())
        else:
            result = func(*args, **kwargs)
        self.total += flops
        return result


def _shapes(values: Iterable[object]) -> Iterator[object]:
    """What the work depends on: shapes, also those inside lists, and the equations of `einsum`."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value.shape
        elif isinstance(value, list | tuple):
            yield tuple(_shapes(value))
        elif isinstance(value, str):
            yield value


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """Two matrix products, queries with keys and weights with values; shapes (batch, heads, tokens, channels)."""
    batch, heads, queries, channels = query
    return 2 * batch * heads * queries * key[-2] * (channels + value[-1])


#: The one attention kernel that torch's counter does not know.
_CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
