"""The denoiser as the measuring engine sees it: sampled, timed part by part, within a time budget."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.full_size.device import Device
from benchmarks.full_size.sampler import Denoiser
from benchmarks.full_size.stopwatch import Stopwatch, split
from lesa_framework import LesaError, find_adapter
from lesa_framework.generation import StepCallback
from lesa_framework.measure.cells import Cell
from lesa_framework.measure.results import Pair
from lesa_framework.measure.subject import Result, Subject
from lesa_framework.types import Samples


class DenoiserSubject(Subject):
    """A model with random weights. Its samples show nothing, so they are empty.

    Args:
        denoiser: Model, inputs and sampler.
        device: Where they are.
        deadline: `time.monotonic()` after which no run begins.
    """

    def __init__(self, denoiser: Denoiser, device: Device, deadline: float) -> None:
        self.pipe: Denoiser = denoiser
        self.deadline = deadline
        self._device = device
        self._seconds = 0.0
        self._held: int | None = None

    def generate(self, num_steps: int, group: Sequence[Pair], on_step: StepCallback) -> Samples:
        """Run the whole loop, and wait for the device before and after.

        Raises:
            LesaError: The time budget is spent.
        """
        if time.monotonic() > self.deadline:
            raise LesaError("not run: the time budget was spent (raise --budget, or choose with --methods)")
        device = self._device
        device.synchronize()
        start = time.perf_counter()
        self.pipe.run(num_steps, on_step=on_step)
        device.synchronize()
        self._seconds = time.perf_counter() - start
        self._held = device.held_bytes()  # now, because the method is still attached
        nothing = torch.zeros(len(group), 0)
        return Samples(nothing, nothing, self._seconds)

    def timed(self, run: Callable[[], Result]) -> tuple[Result, Cell]:
        """Marks the parts of every call, and reads the allocator.

        Cycles are collected before: caches of other libraries leave some behind, which hold gigabytes of tensors.
        """
        device, model = self._device, self.pipe.transformer
        watch = Stopwatch(device, model, find_adapter(model, self.pipe.case.name).adapter)
        gc.collect()
        device.synchronize()
        before = device.held_bytes()
        device.reset_peak()
        with watch.running():
            result = run()
        kept, peak = _beyond(self._held, before), _beyond(device.peak_bytes(), before)
        parts = split(watch.calls, device, self._seconds)
        return result, Cell(
            cache_bytes=kept,
            peak_bytes=peak,
            split_seconds=parts.total,
            computed_call=parts.computed,
            predicted_call=parts.predicted,
        )


def _beyond(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else max(now - before, 0)
