"""The clock. On a processor that others use too, a thread's own time is what can be compared."""

from __future__ import annotations

import time

import torch

from benchmarks.full_size.device import Cpu, Device, choose


class Processor(Cpu):
    """The processor's time for this process: what other processes take in between does not count."""

    def mark(self) -> float:
        """Seconds so far; with one thread, a wall clock that stops while somebody else runs."""
        return time.process_time()


def clock(name: str) -> Device:
    """The device to measure on: a GPU with its events, or the CPU; with one thread, by the processor's time.

    Args:
        name: `cuda`, `cpu`, or `auto` for the GPU when there is one.
    """
    device = choose(name)
    one_thread = torch.get_num_threads() == 1
    return Processor(device.dtype) if device.place.type == "cpu" and one_thread else device


def told(device: Device) -> str:
    """What the seconds are, for readers."""
    if device.place.type == "cuda":
        return "the GPU's events"
    return "the processor's time" if isinstance(device, Processor) else "the wall clock"
