"""Which way of adding up is the fastest on a GPU, found out when a kind of sum is met for the first time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lesa_framework.runtime.features.weighing import Count, Instead, Terms, weigh_plainly

#: A way of adding up.
Way: TypeAlias = Callable[[Terms, Instead], tuple[Tensor, Count]]
#: Runs something several times on a device, and returns the milliseconds of one time; it waits for the device.
Timer: TypeAlias = Callable[[Callable[[], object], torch.device], float]

_TURNS = 5


def fastest(ways: Mapping[str, Way], terms: Terms, instead: Instead, timer: Timer) -> str:
    """Try ways of adding up on the terms at hand.

    Args:
        ways: By name. Those that fail are left out, unless all do.
        terms: What is added up.
        instead: As the ways take it.
        timer: Runs and times.

    Returns:
        The name of the fastest.

    Raises:
        Exception: What the last of them raised, if none works.
    """
    times: dict[str, float] = {}
    failure: Exception | None = None
    for name, way in ways.items():
        try:
            times[name] = timer(lambda way=way: way(terms, instead), terms.device)  # type: ignore[misc]
        except Exception as error:  # a compiler can fail in any way on a machine that nobody tried
            failure = error
    if not times and failure is not None:
        raise failure
    return min(times, key=times.__getitem__)


def time_on_cuda(act: Callable[[], object], device: torch.device) -> float:
    """Time something on a CUDA device; the first time, when kernels are made, does not count."""
    event: Any = torch.cuda.Event  # without annotations
    first, last = event(enable_timing=True), event(enable_timing=True)
    stream = torch.cuda.current_stream(device)
    act()
    first.record(stream)
    for _ in range(_TURNS):
        act()
    last.record(stream)
    last.synchronize()
    return float(first.elapsed_time(last)) / _TURNS


_CHOSEN: dict[tuple[object, ...], Way] = {}


def weigh_fastest(terms: Terms, instead: Instead = None) -> tuple[Tensor, Count]:
    """Add up on CUDA, in the way that is the fastest for terms of this kind.

    Ways round differently in the last bit, so the choice is made before the first result, once in a process: runs in a
    row are equal. That takes a few milliseconds, and the time to make a kernel, at the first predicted step.
    """
    kinds = tuple(feature.dtype for feature in terms.features)
    key = (terms.device, terms.shape, terms.dtype, kinds, terms.axes, instead is None)
    way = _CHOSEN.get(key)
    if way is None:
        ways = _ways(terms)
        name = next(iter(ways)) if len(ways) == 1 else fastest(ways, terms, instead, time_on_cuda)
        way = _CHOSEN[key] = ways[name]
    return way(terms, instead)


def _ways(terms: Terms) -> dict[str, Way]:
    ways: dict[str, Way] = {"plain": weigh_plainly}
    if _has_triton():
        from lesa_framework.runtime.features.triton_filter import fits, weigh_in_triton

        if fits(terms):
            ways["triton"] = weigh_in_triton
    return ways


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None
