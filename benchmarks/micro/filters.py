"""The filter against a copy that moves as many bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.full_size.bandwidth import seconds_of
from benchmarks.full_size.device import Device
from benchmarks.micro.turns import Line, Part, in_turns
from lesa_framework import EntryInfo, Filter, HistoryView
from lesa_framework.runtime.features.history import History
from lesa_framework.words import amount

#: What a filter moves, read and written together.
MIB = 64
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
#: How many features a filter adds up.
FEATURES = (1, 2, 3, 4, 8)
_CHANNELS = 3072
Acts = dict[str, Callable[[], Tensor]]


@torch.no_grad()
def filters(device: Device, rounds: int, mib: float = MIB) -> list[Part]:
    """Time filters of every kind, in turns with a copy. All of them have to move as many bytes.

    Each feature is read once, the prediction is written once. One feature has a weight of 0.9: with a weight of 1
    nothing moves at all.

    Args:
        device: Where, and whose clock.
        rounds: How many turns.
        mib: MiB that a filter moves.

    Returns:
        A part for each precision.
    """
    return [_part(device, dtype, rounds, mib) for dtype in DTYPES]


def _part(device: Device, dtype: torch.dtype, rounds: int, mib: float) -> Part:
    source = torch.zeros(round(mib * 2**20) // 2, dtype=torch.uint8, device=device.place)
    target = torch.empty_like(source)
    acts: Acts = {"copy": lambda: target.copy_(source)}
    acts |= _by_features(device, dtype, mib) | _others(device, dtype, mib)
    inner = 10 if device.place.type == "cuda" else 1
    found = in_turns({name: partial(_again, act, device, inner) for name, act in acts.items()}, rounds)
    lines = tuple(Line(name, seconds, "copy" if name == "copy" else "filter") for name, seconds in found.items())
    what = f"A filter against a copy that moves as many bytes: {mib:g} MiB, read and written together."
    return Part(f"filter, {str(dtype).removeprefix('torch.')}", what, lines)


def _again(act: Callable[[], Tensor], device: Device, inner: int) -> float:
    """Seconds of an act that was just done, as predicted steps follow each other: `malloc` has the memory at hand."""
    act()
    return seconds_of(act, device, inner)


def _by_features(device: Device, dtype: torch.dtype, mib: float) -> Acts:
    found: Acts = {}
    for count in FEATURES:
        history = _filled(device, dtype, mib / (count + 1), count)
        weights = Filter(tuple(0.9 - 0.1 * k for k in range(count)))
        found[amount(count, "feature")] = partial(history.apply, weights)
    return found


def _others(device: Device, dtype: torch.dtype, mib: float) -> Acts:
    history = _filled(device, dtype, mib / 4, 3)
    channels = torch.linspace(0.1, 1.0, _CHANNELS, device=device.place)
    branches: dict[str, HistoryView] = {}
    own = _filled(device, dtype, mib / 5, 2, branches)
    branches |= {"cond": own, "uncond": _filled(device, dtype, mib / 5, 2)}
    return {
        "3 features and a bias": partial(history.apply, Filter((0.9, 0.5, -0.4), bias=0.1)),
        "3 features, weights for each channel": partial(history.apply, Filter(channels.expand(3, -1).clone())),
        "2 features of each of 2 branches": partial(own.apply, Filter((0.9, 0.5), others={"uncond": (0.1, -0.5)})),
    }


def _filled(
    device: Device, dtype: torch.dtype, mib: float, depth: int, branches: dict[str, HistoryView] | None = None
) -> History:
    """A full history of features of so many MiB."""
    history = History(depth) if branches is None else History(depth, branches=branches)
    tokens = max(1, round(mib * 2**20 / dtype.itemsize / _CHANNELS))
    generator = torch.Generator(device.place).manual_seed(0)
    for step in range(depth):
        drawn = torch.randn(1, tokens, _CHANNELS, device=device.place, generator=generator).to(dtype)
        history.append(drawn, EntryInfo(step, computed=True))
    return history
