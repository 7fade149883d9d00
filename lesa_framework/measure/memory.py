"""The most memory that a run holds, beyond what was held before it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def release_memory() -> None:
    """Free what nothing refers to: garbage in cycles first, which may hold tensors, then the pool of the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass
class Peak:
    """Known when the context is left.

    Attributes:
        bytes: The most that was held at once.
    """

    bytes: int = 0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Inside, memory is measured: by the allocator on a GPU, by counting live tensors elsewhere.

    Counting takes time: do not report the time of these runs. What a kernel allocates for itself is not seen there.
    """
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        torch.cuda.synchronize(device)
        peak.bytes = torch.cuda.max_memory_allocated(device) - before
        return
    with _LiveTensors() as watched:
        yield peak
    peak.bytes = watched.most


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's
    """Adds up the storages that operations allocate, and subtracts those that are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's
        self.held = self.most = 0
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {leaf.untyped_storage()._cdata for leaf in _tensors((args, kwargs))}
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in given and storage._cdata not in self._known:
                self._watch(storage)
        return result

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()

        def died(_: object) -> None:
            self._known.pop(key, None)
            self.held -= size

        self._known[key] = weakref.ref(storage, died)
        self.held += size
        self.most = max(self.most, self.held)


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))
