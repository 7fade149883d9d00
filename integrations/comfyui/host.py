"""Reads from ComfyUI's calls which step and which branches they are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import lesa_framework as lesa
from lesa_framework import Arguments, HostCall

#: A sampler may convert noise levels back and forth (uni_pc): they come back this close, relative to the level ...
_ROUNDING = 1e-4
#: ... and much closer than to the next level of the grid.
_SHARE_OF_GAP = 0.05
#: What the entries of `cond_or_uncond` mean in a guider with two prompts.
_NAMES = {0: "cond", 1: "uncond"}


class SamplerHost:
    """Tells the framework where each call of one sampler's run belongs.

    Args:
        sigmas: The sampler's noise levels.
        model_options: ComfyUI's options of this run.
    """

    def __init__(self, sigmas: Sequence[float], model_options: Mapping[str, Any]) -> None:
        levels, problem = tuple(sigmas), _problem(sigmas, model_options)
        if problem:
            warnings.warn(f"LESA cache: {problem}, so every step is computed.", lesa.LesaWarning, stacklevel=2)
        self._grid = () if problem else levels
        self._names: dict[tuple[int, object], str] = {}

    def __call__(self, arguments: Arguments) -> HostCall:
        """Where a call belongs. Reading its noise level waits for the device, once a call."""
        options: Any = arguments["transformer_options"]
        level = float(options["sigmas"].flatten()[0])
        kinds: Sequence[int] = options["cond_or_uncond"]
        branches = tuple(map(self._name, kinds, options["uuids"]))
        # The batch is put together from the end of the list of prompts: `cond` comes last.
        return HostCall("run", self._grid, self._step(level), branches, tuple(_NAMES.values()))

    def _step(self, level: float) -> int | None:
        steps = range(len(self._grid) - 1)
        nearest = min(steps, key=lambda step: abs(self._grid[step] - level), default=None)
        if nearest is None:
            return None
        gap = min(
            abs(self._grid[nearest] - self._grid[other])
            for other in (nearest - 1, nearest + 1)
            if 0 <= other < len(self._grid)
        )
        allowed = min(_ROUNDING * self._grid[nearest], _SHARE_OF_GAP * gap)
        return nearest if abs(self._grid[nearest] - level) <= allowed else None

    def _name(self, kind: int, uuid: object) -> str:
        """One name for each prompt of a run: several may share a sign, such as those of regions."""
        if (kind, uuid) not in self._names:
            name, count = _NAMES.get(kind, f"cond{kind}"), sum(known == kind for known, _ in self._names)
            self._names[kind, uuid] = f"{name}.{count + 1}" if count else name
        return self._names[kind, uuid]


def _problem(sigmas: Sequence[float], model_options: Mapping[str, Any]) -> str | None:
    """Why a run cannot be cached, in words; None if it can."""
    if model_options.get("context_handler") is not None:
        return "context windows show the model another part of the video at each call"
    if model_options.get("multigpu_clones"):
        return "the prompts are shared out among several GPUs, each with a model of its own"
    if len(sigmas) < 2 or not all(one > other for one, other in pairwise(sigmas)):
        return "the sampler's noise levels do not fall from step to step"
    if sigmas[0] > 1 or sigmas[-1] < 0:
        return f"the sampler's noise levels, {sigmas[0]:g} to {sigmas[-1]:g}, are not between 1 and 0"
    return None
