"""What memory bandwidth a predictor reaches, against a plain copy of as many bytes."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from benchmarks.full_size.device import Device
from benchmarks.full_size.sampler import Denoiser
from lesa_framework import AffinePredictor, EntryInfo, Recorder, StepContext, Strategy
from lesa_framework.api import attach_strategy
from lesa_framework.measure.details import Bandwidth
from lesa_framework.runtime.features.history import History

#: How often each of the two is timed, in turns.
_SAMPLES = 20
#: Repetitions within one timing, so that a GPU never waits for the CPU's first launch.
_INNER = 10


@torch.no_grad()
def measure_bandwidth(denoiser: Denoiser, strategy: Strategy, device: Device) -> Bandwidth | None:
    """Apply a predictor's last filter to a full history of real size, in turns with a device-to-device copy.

    The bytes counted are those that have to move: each tap's feature is read once, the prediction written once. What
    an implementation moves beyond that lowers its figure.

    Args:
        denoiser: Whose features have the shape and dtype.
        strategy: Whose predictor is measured.
        device: Where.

    Returns:
        The measurement; None for a predictor that moves nothing.
    """
    sigmas, feature = denoiser.grid(denoiser.case.num_steps), _feature(denoiser, strategy)
    predictor, last = strategy.predictor, len(sigmas) - 2
    assert isinstance(predictor, AffinePredictor)
    history = History(predictor.depth)
    generator = torch.Generator(feature.device).manual_seed(0)
    for step in range(last - predictor.depth, last):
        drawn = torch.randn(feature.shape, dtype=feature.dtype, device=feature.device, generator=generator)
        history.append(drawn, EntryInfo(step, computed=True))
    ctx = StepContext(last, sigmas, stage=strategy.router.stage(sigmas[last]), entries=history.entries)
    taps = sum(weight != 0.0 for weight in predictor.filter(history.entries, ctx).weights)
    if taps < 2:
        return None
    read, written = taps * feature.nbytes, feature.nbytes
    source = torch.zeros((read + written) // 2, dtype=torch.uint8, device=feature.device)
    target = torch.empty_like(source)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_SAMPLES + 1):
        times[0].append(seconds_of(lambda: predictor.predict(history, ctx), device, _INNER))
        times[1].append(seconds_of(lambda: target.copy_(source), device, _INNER))
    predicting, copying = (median(each[1:]) for each in times)  # the first of each warms up
    return Bandwidth(
        taps=taps,
        feature_shape=tuple(feature.shape),
        dtype=str(feature.dtype).removeprefix("torch."),
        bytes_read=read,
        bytes_written=written,
        seconds=predicting,
        bytes_per_second=(read + written) / predicting,
        copy_seconds=copying,
        copy_bytes_per_second=2 * source.nbytes / copying,
        share_of_copy=(read + written) / predicting / (2 * source.nbytes / copying),
        samples=_SAMPLES,
    )


def _feature(denoiser: Denoiser, strategy: Strategy) -> torch.Tensor:
    """The feature of a first step."""
    recorder, case = Recorder(), denoiser.case
    with attach_strategy(denoiser, strategy, case.name, case.tap, observers=(recorder,)):
        denoiser.run(case.num_steps, stop=1)
    return recorder.features[0]


def seconds_of(act: Callable[[], Any], device: Device, inner: int) -> float:
    """Seconds that something takes, done several times in a row, so that a GPU does not wait for the first launch."""
    device.synchronize()
    start = device.mark()
    for _ in range(inner):
        act()
    end = device.mark()
    device.synchronize()
    return device.between(start, end) / inner
