"""Where the time of a run goes: prelude, stack, predictor, head."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from torch import nn

from benchmarks.full_size.device import Device, Mark
from lesa_framework import BackboneAdapter

#: What a call is divided into. `predictor` is everything outside of the model's own forward: deciding, predicting,
#: looking for NaNs, writing to the history. Peers work inside the forward: their time is in `stack`, or wherever they
#: hook.
PARTS = ("prelude", "stack", "predictor", "head")

Seconds = dict[str, float]


@dataclass
class CallMarks:
    """Marks of one call; those within the model are missing when it was not run."""

    start: Mark
    own_start: Mark | None = None
    stack_start: Mark | None = None
    head_start: Mark | None = None
    own_end: Mark | None = None
    end: Mark | None = None

    @property
    def computed(self) -> bool:
        """Whether a block was called."""
        return self.stack_start is not None

    def seconds(self, device: Device) -> Seconds:
        """Time in each part; call `device.synchronize` first."""
        assert self.end is not None
        parts = dict.fromkeys(PARTS, 0.0)
        inside = [("prelude", self.own_start), ("stack", self.stack_start), ("head", self.head_start)]
        found = [(part, mark) for part, mark in inside if mark is not None]
        if found and self.own_start is None:  # a peer has replaced the forward that is timed
            found.insert(0, ("prelude", self.start))
        last = self.end if self.own_end is None else self.own_end
        for (part, mark), (_, following) in pairwise([*found, ("", last)]):
            parts[part] = device.between(mark, following)
        parts["predictor"] = device.between(self.start, self.end) - sum(parts.values())
        return parts


@dataclass
class Stopwatch:
    """Marks the calls of one model. Six marks a call, a few microseconds each, and no waiting.

    Args:
        device: Whose clock is used.
        model: The model.
        adapter: Where its parts begin.
    """

    device: Device
    model: nn.Module
    adapter: BackboneAdapter
    calls: list[CallMarks] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, calls are marked. Enter before a method is attached: its work is then outside the own forward."""
        model = self.model
        first = next(model.get_submodule(path) for path in self.adapter.blocks)
        handles = [
            model.register_forward_pre_hook(self._begin),
            model.register_forward_hook(self._end),
            next(first.children()).register_forward_pre_hook(self._stack),
            model.get_submodule(self.adapter.head).register_forward_pre_hook(self._head),
        ]
        own: dict[str, Any] = model.__dict__
        original = model.forward

        @functools.wraps(original)
        def forward(*args: Any, **kwargs: Any) -> Any:
            call = self.calls[-1]
            call.own_start = self.device.mark()
            output = original(*args, **kwargs)
            call.own_end = self.device.mark()
            return output

        own["forward"] = forward
        try:
            yield
        finally:
            own.pop("forward", None)
            for handle in handles:
                handle.remove()

    def _begin(self, *_: object) -> None:
        self.calls.append(CallMarks(self.device.mark()))

    def _end(self, *_: object) -> None:
        self.calls[-1].end = self.device.mark()

    def _stack(self, *_: object) -> None:
        self.calls[-1].stack_start = self.device.mark()

    def _head(self, *_: object) -> None:
        self.calls[-1].head_start = self.device.mark()


@dataclass(frozen=True)
class Split:
    """Where one run's time went.

    Attributes:
        total: Seconds in each part over all calls, and in `sampler`, which is the rest.
        computed: Median seconds of a call in which a block was called.
        predicted: The same of the other calls; empty when there was none.
    """

    total: Seconds
    computed: Seconds
    predicted: Seconds


def split(calls: Sequence[CallMarks], device: Device, seconds: float) -> Split:
    """Add up a run.

    Args:
        calls: Its calls, in order.
        device: Whose marks they are; call its `synchronize` first.
        seconds: How long the run took.
    """
    each = [(call.computed, call.seconds(device)) for call in calls]
    total = {part: sum(parts[part] for _, parts in each) for part in PARTS}
    total["sampler"] = max(seconds - sum(total.values()), 0.0)
    return Split(
        total,
        _medians([parts for computed, parts in each if computed]),
        _medians([parts for computed, parts in each if not computed]),
    )


def _medians(calls: Sequence[Seconds]) -> Seconds:
    return {part: median(parts[part] for parts in calls) for part in PARTS} if calls else {}
