"""The clock and the memory of a device: events and the allocator on a GPU, the wall clock on a CPU."""

from __future__ import annotations

import gc
import re
import time
from abc import ABC, abstractmethod
from typing import TypeAlias

import torch

from lesa_framework.errors import ConfigError

#: A point in time: an event in a GPU's stream, or seconds.
Mark: TypeAlias = "torch.cuda.Event | float"


class Device(ABC):
    """Where a benchmark runs.

    Attributes:
        place: The device as torch knows it.
        dtype: What models run in there.
        name: The machine's own name for it.
    """

    place: torch.device
    dtype: torch.dtype
    name: str

    @property
    def slug(self) -> str:
        """The name as part of a file's name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @abstractmethod
    def mark(self) -> Mark:
        """Note the time, without waiting for anything."""

    @abstractmethod
    def between(self, start: Mark, end: Mark) -> float:
        """Seconds between two marks; call `synchronize` first."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until all submitted work is done."""

    @abstractmethod
    def held_bytes(self) -> int | None:
        """Bytes in tensors; None where they are not counted."""

    @abstractmethod
    def peak_bytes(self) -> int | None:
        """The most that was held since `reset_peak`."""

    @abstractmethod
    def reset_peak(self) -> None:
        """Begin to look for a new peak."""

    @abstractmethod
    def free(self) -> None:
        """Free memory that is no longer used."""


class Cuda(Device):
    """One GPU."""

    def __init__(self) -> None:
        self.place, self.dtype = torch.device("cuda", 0), torch.bfloat16
        self.name = torch.cuda.get_device_name(self.place)
        torch.cuda.set_device(self.place)  # events are recorded in the current device's stream

    def mark(self) -> Mark:
        """An event."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch's
        event.record()
        return event

    def between(self, start: Mark, end: Mark) -> float:
        """Of two events."""
        assert isinstance(start, torch.cuda.Event)
        assert isinstance(end, torch.cuda.Event)
        return float(start.elapsed_time(end)) / 1000

    def synchronize(self) -> None:
        """Wait for every stream."""
        torch.cuda.synchronize(self.place)

    def held_bytes(self) -> int | None:
        """What the allocator has given out."""
        return torch.cuda.memory_allocated(self.place)

    def peak_bytes(self) -> int | None:
        """The most it has given out."""
        return torch.cuda.max_memory_allocated(self.place)

    def reset_peak(self) -> None:
        """Of the allocator."""
        torch.cuda.reset_peak_memory_stats(self.place)

    def free(self) -> None:
        """Collect cycles (a failed method's traceback holds its tensors), then empty the allocator's pool."""
        gc.collect()
        torch.cuda.empty_cache()


class Cpu(Device):
    """The processor, for tiny models."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.place, self.dtype, self.name = torch.device("cpu"), dtype, "cpu"

    def mark(self) -> Mark:
        """The wall clock: nothing is asynchronous here."""
        return time.perf_counter()

    def between(self, start: Mark, end: Mark) -> float:
        """Of two readings."""
        assert isinstance(start, float)
        assert isinstance(end, float)
        return end - start

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def held_bytes(self) -> int | None:
        """Not counted here."""
        return None

    def peak_bytes(self) -> int | None:
        """Not counted here."""
        return None

    def reset_peak(self) -> None:
        """Not counted here."""

    def free(self) -> None:
        """Collect cycles."""
        gc.collect()


def choose(name: str) -> Device:
    """`cuda`, `cpu`, or `auto` for the GPU when there is one.

    Raises:
        ConfigError: It is none of these, or there is no GPU.
    """
    if name not in ("auto", "cuda", "cpu"):
        raise ConfigError(f"--device: '{name}' is not valid. Valid: auto, cuda, cpu.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no GPU. Run it where there is one, or leave the option out.")
    return Cpu() if name == "cpu" or not torch.cuda.is_available() else Cuda()
