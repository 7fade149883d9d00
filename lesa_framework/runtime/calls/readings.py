"""How a scheduler's timesteps and sigmas can be read as noise levels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import torch

from lesa_framework.runtime.calls.levels import Grid

#: A diffusers scheduler. The classes share no attribute that all of them have, so each is asked for.
Scheduler: TypeAlias = Any
Levels: TypeAlias = tuple[float, ...]

#: Schedulers compute their grids in float32.
_ROUNDING = 1e-5
#: No sampler of several steps begins below this; one that seems to has its timesteps in other units.
_LEAST_START = 0.01


def is_set(scheduler: Scheduler) -> bool:
    """Whether timesteps were set. Until then schedulers show none, or every timestep of the training."""
    trained, steps = _trained(scheduler), getattr(scheduler, "num_inference_steps", None)
    shown = max(map(len, _numbers_of(scheduler)))
    if not shown:
        return not hasattr(scheduler, "timesteps")
    if not trained or shown < trained:
        return True
    # Some call `set_timesteps` when they are made; they find their step while they scale the model's input.
    is_made = steps == trained and hasattr(scheduler, "scale_model_input")
    return steps is not None and not (is_made and getattr(scheduler, "step_index", steps) is None)


def readings_of(scheduler: Scheduler) -> tuple[Grid, ...]:
    """Every way to read the scheduler's numbers as a grid, the likeliest first.

    What a scheduler's numbers mean is not written in it, and pipelines pass them on in several ways, so the first call
    of a run tells which reading is right. A reading is a grid of noise levels in [0, 1] and what the model
    receives at each of its steps:

    - timesteps, from 0 to `num_train_timesteps`;
    - timesteps that are levels already, or that preconditioning made of the sigmas;
    - angles up to pi/2, of which the pipeline passes `sin / (sin + cos)`;
    - sigmas that are a ratio of noise to signal, of which the pipeline passes `sigma / (1 + sigma)`.

    Where timesteps rise, as they do with `invert_sigmas`, they are subtracted from 1.
    """
    timesteps, sigmas = _numbers_of(scheduler)
    if not timesteps:
        return (Grid(sigmas),) if sigmas and are_levels(sigmas) else ()
    trained = _trained(scheduler) or 1
    found: list[Grid] = []
    is_counted = max(map(abs, timesteps)) >= _LEAST_START * trained
    if is_counted or len(timesteps) == 1:
        found += _told_as(_each(timesteps, lambda timestep: timestep / trained), sigmas, 1 / trained)
    if not is_counted:
        found += _told_as(timesteps, sigmas)
    if not sigmas:
        found += _told_as_angles(timesteps)
    if _are_ratios(sigmas) and len(sigmas) == len(timesteps) + 1:
        found.append(Grid(_each(sigmas, _from_ratio)))
    return tuple(found)


def _told_as(told: Levels, sigmas: Levels, unit: float = 1.0) -> Iterator[Grid]:
    """The reading by which the model receives these numbers, counted in this unit; none if that cannot be."""
    told, sigmas = _upright(told), _upright(sigmas)  # Mochi and OmniGen count from 0, noise, to 1
    turned = _each(told, _from_clean)
    if len(told) == 1 and _match(turned, sigmas, 0.0):  # one number has no direction of its own
        told = turned
    if not (_falls(told) and _falls(sigmas)):
        return
    # Some schedulers, and some pipelines, cut their timesteps to whole numbers.
    whole = _each(told, lambda level: math.floor(level / unit) * unit) if unit < 1 else told
    if _match(told, sigmas, unit if unit < 1 else 0.0):
        if are_levels(sigmas):
            yield Grid(sigmas, told, (whole, sigmas[:-1]))
    elif are_levels(told):
        yield Grid((*told, 0.0), told, (whole,))
    elif len(sigmas) == len(told) + 1 and _are_ratios(sigmas):
        yield Grid(_each(sigmas, _from_ratio), told)


def _told_as_angles(timesteps: Levels) -> Iterator[Grid]:
    """The reading of a sampler on a quarter of a circle; none if timesteps are not on it."""
    if min(timesteps) < 0 or max(timesteps) > math.pi / 2 + _ROUNDING:
        return
    # The last angle is where the sampler arrives; the model is not called there.
    called = timesteps[:-1] if len(timesteps) > 1 and timesteps[-1] == 0 else timesteps
    yield from _told_as(_each(called, _from_angle), ())


def _match(told: Levels, sigmas: Levels, off: float) -> bool:
    """Whether sigmas, up to the last one, are the numbers told."""
    return len(sigmas) == len(told) + 1 and all(
        abs(sigma - level) <= off + _ROUNDING for sigma, level in zip(sigmas, told, strict=False)
    )


def _upright(levels: Levels) -> Levels:
    return _each(levels, _from_clean) if levels and levels[0] < levels[-1] else levels


def _falls(levels: Levels) -> bool:
    """Whether they begin at the greatest; a few samplers go back a little in between."""
    return len(levels) < 2 or levels[-1] < levels[0] == max(levels)


def are_levels(levels: Sequence[float]) -> bool:
    """Whether all of them are in [0, 1]."""
    return all(0 <= level <= 1 + _ROUNDING for level in levels)


def _are_ratios(sigmas: Levels) -> bool:
    """Whether sigmas are noise over signal: beyond 1, and falling."""
    return len(sigmas) > 1 and sigmas[0] > 1 + _ROUNDING and min(sigmas) >= 0 and _falls(sigmas)


def _each(levels: Levels, function: Callable[[float], float]) -> Levels:
    return tuple(map(function, levels))


def _from_clean(level: float) -> float:
    return 1 - level


def _from_angle(angle: float) -> float:
    return min(math.sin(angle) / (math.sin(angle) + math.cos(angle)), 1.0)  # 1.5708 is beyond pi/2


def _from_ratio(sigma: float) -> float:
    return sigma / (1 + sigma)


def _trained(scheduler: Scheduler) -> int:
    return getattr(getattr(scheduler, "config", None), "num_train_timesteps", None) or 0


def _numbers_of(scheduler: Scheduler) -> tuple[Levels, Levels]:
    return _numbers(getattr(scheduler, "timesteps", None)), _numbers(getattr(scheduler, "sigmas", None))


def _numbers(values: object) -> Levels:
    if values is None:
        return ()
    # Cast on the CPU: MPS has no float64, not even for what is on its way there.
    return tuple(torch.as_tensor(values, device="cpu").detach().double().tolist())
