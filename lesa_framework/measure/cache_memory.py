"""Measures what a cache keeps between two calls of the transformer, whatever is attached and whatever it reports.

Memory that is allocated inside a call of the transformer and is still there when the next one begins is kept by the
cache. Latents, text embeddings, the sampler's tables and what a callback keeps are made outside of calls and do not
count; weights were there before. What a call returns would look as if it were kept while the pipeline still holds it,
so the pipeline gets a copy.
"""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.overrides import TorchFunctionMode

from lesa_framework.api import transformers_of
from lesa_framework.interfaces.peer import HasTransformer


def held_bytes(
    pipe: HasTransformer,
    run: Callable[[], object],
    attach: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> int:
    """Attach something, run once, and return the most bytes that it kept between two calls of the transformer.

    Whole storages are counted, each once: a view keeps all of its storage, and two references to one cost nothing more.
    Memory that is allocated while attaching counts as well, so build a strategy that reads weights before. Memory of
    compiled code and of extensions that torch cannot see is not counted.

    It works on every device, without gradients, and takes a little longer than the run.

    Args:
        pipe: The pipeline, bare. Run it once before, because tables that a model makes in its first run and keeps
            would count.
        run: Samples once.
        attach: Attaches the cache, and detaches it when its context is left. By default nothing is attached, which
            shows what the model itself keeps.
    """
    watch = _Watch()
    with torch.no_grad(), ExitStack() as stack:
        stack.enter_context(watch)
        stack.enter_context(attach())
        watch.end_call()
        for model in transformers_of(pipe).values():
            # Around everything that the cache does in a call: the first hook before it, and the last one after it.
            stack.callback(model.register_forward_pre_hook(watch.begin_call, prepend=True).remove)
            stack.callback(model.register_forward_hook(watch.end_call_with).remove)
        run()
        watch.look()
    return watch.most


class _Watch(TorchFunctionMode):
    """Tracks the storages that were allocated inside calls and are still alive.

    Attributes:
        most: The most bytes of them that were there between two calls.
    """

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._inside = True  # what attaching allocates counts too
        self._made: list[weakref.ref[UntypedStorage]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a function and record the memory that it allocates."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self._inside and getattr(func, "__name__", "") != "__get__":  # `.shape` and the like
            given = {id(storage) for storage in _storages((args, kwargs))}
            self._made += [weakref.ref(storage) for storage in _storages(result) if id(storage) not in given]
        return result

    def begin_call(self, *_: Any) -> None:
        self.look()
        self._inside = True

    def end_call(self) -> None:
        self._inside = False

    def end_call_with(self, _module: object, _arguments: object, returned: object) -> object:
        self.end_call()
        return copy.deepcopy(returned)

    def look(self) -> None:
        """Measure how much is still alive."""
        if self._left() > self.most:
            gc.collect()  # garbage in cycles is not kept
            self.most = max(self.most, self._left())

    def _left(self) -> int:
        self._made = [made for made in self._made if made() is not None]
        left = [storage for made in self._made if (storage := made()) is not None]
        return sum({id(storage): storage.nbytes() for storage in left}.values())


def _storages(value: object) -> Iterator[UntypedStorage]:
    """Of all tensors in arguments or results."""
    if isinstance(value, Tensor):
        if value.layout is torch.strided:
            yield value.untyped_storage()
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _storages(item)
    elif isinstance(value, Mapping):
        yield from _storages(list(value.values()))
