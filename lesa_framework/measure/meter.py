"""One meter for work and memory: what every operation of torch does, and what it allocates.

It sends every operator through Python, which makes a small model several times as slow: do not report the time of such
runs. Compiled code is not seen, nor what a kernel allocates for itself.
"""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lesa_framework.api import transformers_of
from lesa_framework.interfaces.peer import HasTransformer


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
        watching: Whether new storages count; those that count do so until they are freed.
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


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Meter]:
    """Yields a meter whose `most` is, once the context is left, the most memory that was held beyond before.

    By the allocator on a GPU, by counting live tensors elsewhere.
    """
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
    with Meter() as meter:
        yield meter
    if on_gpu:
        torch.cuda.synchronize(device)
        meter.most = torch.cuda.max_memory_allocated(device) - before


def held_bytes(
    pipe: HasTransformer,
    run: Callable[[], object],
    attach: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> int:
    """Attach something, run once, and return the most bytes that it kept between two calls of the transformer.

    Memory that is allocated inside a call of the transformer and is still there when the next one begins is kept by the
    cache, whatever is attached and whatever it reports. Latents, text embeddings, the sampler's tables and what a
    callback keeps are made outside of calls and do not count; weights were there before. What a call returns would look
    as if it were kept while the pipeline still holds it, so the pipeline gets a copy.

    Whole storages are counted, each once: a view keeps all of its storage, and two references to one cost nothing more.
    Memory that is allocated while attaching counts as well, so build a strategy that reads weights before. Memory of
    compiled code and of extensions that torch cannot see is not counted. It works on every device, without gradients.

    Args:
        pipe: The pipeline, bare. Run it once before, because tables that a model makes in its first run and keeps
            would count.
        run: Samples once.
        attach: Attaches the cache, and detaches it when its context is left. By default nothing is attached, which
            shows what the model itself keeps.
    """
    most = 0

    def look(*_: object) -> None:
        nonlocal most
        if meter.held > most:
            gc.collect()  # garbage in cycles is not kept
            most = max(most, meter.held)
        meter.watching = True

    def leave(_module: object, _arguments: object, returned: object) -> object:
        meter.watching = False
        return copy.deepcopy(returned)

    with torch.no_grad(), ExitStack() as stack:
        meter = stack.enter_context(Meter())
        stack.enter_context(attach())
        meter.watching = False
        for model in transformers_of(pipe).values():
            # Around everything that the cache does in a call: the first hook before it, and the last one after it.
            stack.callback(model.register_forward_pre_hook(look, prepend=True).remove)
            stack.callback(model.register_forward_hook(leave).remove)
        run()
        look()
    return most


def release_memory() -> None:
    """Free what nothing refers to: garbage in cycles first, which may hold tensors, then the pool of the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
