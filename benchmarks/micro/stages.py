"""The models whose steps are timed: a pipeline, how it is run, and its floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any, Literal, Protocol

import torch
from torch import nn

from benchmarks.full_size.device import Device
from benchmarks.full_size.floor import hidden
from benchmarks.full_size.stopwatch import Stopwatch
from lesa_framework import BackboneAdapter, BackboneConfig, CustomBackboneConfig, HasTransformer, find_adapter
from lesa_framework.generation import GenerationSettings, generate_batch
from lesa_framework.pipelines import find_model, load_pipeline
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, TinyPipeline

Attach = Callable[[], AbstractContextManager[object]]


class _Pipeline(HasTransformer, Protocol):
    scheduler: Any


@dataclass(frozen=True)
class Stage:
    """A pipeline that can be run with any number of steps.

    Attributes:
        pipe: The pipeline.
        run: Samples once, with so many steps.
        adapter: How its transformer is laid out.
        device: Where it is, with its clock.
        batch: Samples in a call.
        backbone: How a session finds the adapter.
    """

    pipe: _Pipeline
    run: Callable[[int], object]
    adapter: BackboneAdapter
    device: Device
    batch: int
    backbone: BackboneConfig = field(default_factory=BackboneConfig)

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

    def floor(self, computed: Sequence[int] = ()) -> AbstractContextManager[None]:
        """The model with empty block lists and nothing attached: what a predicted step cannot do without.

        Args:
            computed: Steps that are computed all the same, as the scheduler counts them: the others then find caches
                as a predicted step finds them.
        """
        scheduler = self.pipe.scheduler
        return hidden(self.pipe.transformer, self.adapter.blocks, lambda: (scheduler.step_index or 0) not in computed)


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
    pipe = TinyPipeline(TinyDiT(layers=layers).to(device.place))
    run = partial(_tiny_run, pipe, guidance)
    return Stage(pipe, run, TinyDiTAdapter(), device, 1, _TinyBackbone())


class _TinyBackbone(CustomBackboneConfig):
    """The tiny model's adapter, which is registered nowhere."""

    kind: Literal["tiny"] = "tiny"

    def build(self, model: nn.Module) -> BackboneAdapter:  # noqa: ARG002 - the contract's signature
        return TinyDiTAdapter()


def _tiny_run(pipe: TinyPipeline, guidance: float, num_steps: int) -> torch.Tensor:
    return pipe(num_inference_steps=num_steps, guidance=guidance)
