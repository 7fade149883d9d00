"""Times the calls of a run: what predicting saves is known from the run itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import Any, Protocol

import torch

from lesa_framework.types import Decision


class _Lap(Protocol):
    def stop(self) -> None:
        """The call has ended."""

    def seconds(self) -> float | None:
        """How long it took; None while that is not known."""


class _ClockLap:
    """A call on the CPU."""

    def __init__(self, device: torch.device) -> None:  # noqa: ARG002 - there is one clock
        self._started, self._seconds = perf_counter(), 0.0

    def stop(self) -> None:
        self._seconds = perf_counter() - self._started

    def seconds(self) -> float | None:
        return self._seconds


class _GpuLap:
    """A call on a GPU, which works on while Python is ahead: two marks in its queue, and nobody waits for them."""

    def __init__(self, device: torch.device) -> None:
        event: Any = torch.cuda.Event  # without annotations
        self._device = device  # which need not be the current one
        self._first, self._last = event(enable_timing=True), event(enable_timing=True)
        self._first.record(torch.cuda.current_stream(device))

    def stop(self) -> None:
        self._last.record(torch.cuda.current_stream(self._device))

    def seconds(self) -> float | None:
        if not self._last.query():
            return None
        seconds: float = self._first.elapsed_time(self._last) / 1000
        return seconds


_LAPS: Mapping[str, Callable[[torch.device], _Lap]] = {"cpu": _ClockLap, "cuda": _GpuLap}


class Stopwatch:
    """Times the calls of one run, computed and predicted ones apart.

    On devices other than the CPU and CUDA, where the time of a call cannot be told without waiting, nothing is timed.
    """

    def __init__(self) -> None:
        self._lap: _Lap | None = None
        self._laps: dict[Decision, list[_Lap]] = {decision: [] for decision in Decision}

    def start(self, device: torch.device) -> None:
        """A call begins."""
        make = _LAPS.get(device.type)
        self._lap = None if make is None else make(device)

    def stop(self, decision: Decision) -> None:
        """The call has ended."""
        if self._lap is not None:
            self._lap.stop()
            self._laps[decision].append(self._lap)
            self._lap = None

    def saved(self) -> float | None:
        """About how many seconds the predicted calls would have taken longer; None if only one sort was seen.

        Medians, because the first call of a run warms up.
        """
        found = {
            decision: [seconds for lap in laps if (seconds := lap.seconds()) is not None]
            for decision, laps in self._laps.items()
        }
        computed, predicted = found[Decision.COMPUTE], found[Decision.PREDICT]
        if not computed or not predicted:
            return None
        return (median(computed) - median(predicted)) * len(self._laps[Decision.PREDICT])
