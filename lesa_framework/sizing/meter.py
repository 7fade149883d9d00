"""One meter for work and memory: what every operation of torch does, and what it allocates.

It sends every operator through Python, which makes a small model several times as slow: do not report the time of such
runs. Compiled code is not seen, nor what a kernel allocates for itself.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """Two matrix products, queries with keys and weights with values; shapes (batch, heads, tokens, channels)."""
    batch, heads, queries, channels = query
    return 2 * batch * heads * queries * key[-2] * (channels + value[-1])


#: The one attention kernel that torch's own counter does not know.
_CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's
    """Counts, inside its context, floating-point operations and the storages that operations allocate.

    Attributes:
        flops: Operations so far, by the formulas of torch's own counter.
        held: Bytes that were allocated inside and are alive.
        most: The most bytes held at once.
        watching: Whether new storages count; those that count do so until they are freed or left out.
    """

    def __init__(self, *, watching: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's
        self.flops = self.held = self.most = 0
        self.watching = watching
        self._formulas = FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION).flop_registry
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self,
        func: Any,  # an overload of an operator
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        formula = self._formulas.get(func._overloadpacket)
        if formula is None and torch.is_inference_mode_enabled():  # where operators arrive before they are split
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        if formula is not None:
            self.flops += int(formula(*args, **kwargs, out_val=result))
        if self.watching:
            given = {storage._cdata for storage in _storages((args, kwargs))}
            for storage in _storages(result):
                if storage._cdata not in given and storage._cdata not in self._known:
                    self._watch(storage)
        return result

    def leave_out(self, given: Iterable[object]) -> None:
        """Count the storages of the tensors among these no longer, though they are alive."""
        for storage in _storages(list(given)):
            if self._known.pop(storage._cdata, None) is not None:  # with it goes what would be called when it is freed
                self.held -= storage.nbytes()

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()

        def died(_: object) -> None:
            self._known.pop(key, None)
            self.held -= size

        self._known[key] = weakref.ref(storage, died)
        self.held += size
        self.most = max(self.most, self.held)


def _storages(tree: Any) -> Iterator[torch.UntypedStorage]:
    """Of all tensors in arguments or results."""
    for leaf in tree_leaves(tree):
        if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided:
            yield leaf.untyped_storage()
