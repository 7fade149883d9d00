"""The models whose steps are timed: a pipeline, how it is run, and its floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from statistics import median
from typing import Any

import torch

from benchmarks.full_size.device import Device
from benchmarks.full_size.stopwatch import Stopwatch
from lesa_framework import BackboneAdapter, HasTransformer, Registrar, find_adapter, hookimpl
from lesa_framework.generation import GenerationSettings, generate_batch
from lesa_framework.pipelines import find_model, load_pipeline
from lesa_framework.plugin.manager import plugins
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, TinyPipeline

Attach = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Stage:
    """A pipeline that can be run with any number of steps.

    Attributes:
        pipe: The pipeline.
        run: Samples once, with so many steps.
        adapter: How its transformer is laid out.
        device: Where it is, with its clock.
        batch: Samples in a call.
    """

    pipe: HasTransformer
    run: Callable[[int], object]
    adapter: BackboneAdapter
    device: Device
    batch: int

    def timed(self, num_steps: int, attach: Attach = nullcontext) -> Sampled:
        """Sample once with something attached, which is not timed itself."""
        device, watch = self.device, Stopwatch(self.device, self.pipe.transformer, self.adapter)
        with watch.running(), attach():
            device.synchronize()
            start = device.mark()
            self.run(num_steps)
            end = device.mark()
            device.synchronize()
        calls: dict[bool, list[float]] = {True: [], False: []}
        for call in watch.calls:
            assert call.end is not None
            calls[call.computed].append(device.between(call.start, call.end))
        return Sampled(device.between(start, end), *(median(each) if each else None for each in calls.values()))

    @contextmanager
    def floor(self) -> Iterator[None]:
        """The model with empty block lists and nothing attached: what a predicted step cannot do without."""
        lists = [self.pipe.transformer.get_submodule(path)._modules for path in self.adapter.blocks]
        held = [dict(modules) for modules in lists]
        for modules in lists:
            modules.clear()
        try:
            yield
        finally:
            for modules, blocks in zip(lists, held, strict=True):
                modules.update(blocks)


@dataclass(frozen=True)
class Sampled:
    """A run's seconds.

    Attributes:
        run: Of the whole pipeline's call.
        computed: The median call of the transformer in which a block was called; None without any.
        predicted: The median other call.
    """

    run: float
    computed: float | None
    predicted: float | None


def bundled(device: Device, batch: int) -> Stage:
    """The bundled FLUX in its own pipeline, text encoder and decoder included."""
    source = find_model("reference:flux")
    assert source.named is not None
    assert source.named.prompts is not None
    pipe: Any = load_pipeline(source, device=str(device.place))
    prompts, seeds = source.named.prompts(0, batch, training=False), list(range(batch))

    def run(num_steps: int) -> object:
        return generate_batch(pipe, prompts, seeds, GenerationSettings(num_steps=num_steps, call=source.named.call))

    return Stage(pipe, run, find_adapter(pipe.transformer).adapter, device, batch)


def tiny(device: Device, *, layers: int = 2, guidance: float = 1.0) -> Stage:
    """A model of microseconds: what is left of a step is our own code."""
    _know_tiny()
    pipe = TinyPipeline(TinyDiT(layers=layers).to(device.place))
    run = partial(_tiny_run, pipe, guidance)
    return Stage(pipe, run, TinyDiTAdapter(), device, 1)


class _Tiny:
    """Registers the adapter of the tiny model."""

    @hookimpl
    def lesa_register(self, registrar: Registrar) -> None:
        registrar.add_backbone("tiny", TinyDiTAdapter)


@cache
def _know_tiny() -> None:
    if "tiny" not in plugins().registry.backbones:
        plugins().add("tiny", _Tiny())


def _tiny_run(pipe: TinyPipeline, guidance: float, num_steps: int) -> torch.Tensor:
    return pipe(num_inference_steps=num_steps, guidance=guidance)
