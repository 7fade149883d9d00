"""What a run holds at most, and what a cache keeps between two calls, by the meter of `lesa_framework.sizing`."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from torch import nn

from lesa_framework.interfaces.peer import HasTransformer
from lesa_framework.place import transformers_of
from lesa_framework.sizing.meter import Meter


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
    callback keeps are made outside of calls and do not count; nor do weights and buffers that the pipeline had before,
    also where offloading moves them inside a call. What a call returns would look as if it were kept while the pipeline
    still holds it, so the pipeline gets a copy.

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
    parts = {*transformers_of(pipe).values(), *(each for each in vars(pipe).values() if isinstance(each, nn.Module))}
    modules = {module for part in parts for module in part.modules()}
    # By name: buffers that move are new tensors, and what a cache puts beside them is none of the model's.
    weights = [
        (module, name)
        for module in modules
        for name, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    ]

    def look(*_: object) -> None:
        nonlocal most
        if meter.held > most:
            meter.leave_out(getattr(module, name, None) for module, name in weights)
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
