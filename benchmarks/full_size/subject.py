"""The denoiser as the measuring engine sees it: sampled, timed part by part, within a time budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from benchmarks.full_size.device import Device
from benchmarks.full_size.sampler import Denoiser
from benchmarks.full_size.stopwatch import Stopwatch, split
from lesa_framework import LesaError, find_adapter
from lesa_framework.generation import StepCallback
from lesa_framework.measure.cells import Readings
from lesa_framework.measure.results import Pair
from lesa_framework.measure.subject import Subject
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

    def sample(self, num_steps: int, group: Sequence[Pair], on_step: StepCallback) -> Samples:
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

    @contextmanager
    def timed(self) -> Iterator[Readings]:
        """Marks the parts of every call, and reads the allocator."""
        device, model = self._device, self.pipe.transformer
        watch, readings = Stopwatch(device, model, find_adapter(model, self.pipe.case.name).adapter), Readings()
        device.synchronize()
        before = device.held_bytes()
        device.reset_peak()
        with watch.running():
            yield readings
        readings.cache_bytes = _beyond(self._held, before)
        readings.peak_bytes = _beyond(device.peak_bytes(), before)
        parts = split(watch.calls, device, self._seconds)
        readings.split_seconds, readings.computed_call, readings.predicted_call = (
            parts.total,
            parts.computed,
            parts.predicted,
        )


def _beyond(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else max(now - before, 0)
