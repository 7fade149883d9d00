"""The engine alone, driven through the calls of a run."""

from __future__ import annotations

import torch
from torch import Tensor

from lesa_framework import (
    AffinePredictor,
    Filter,
    Predictor,
    Strategy,
    Tap,
)
from lesa_framework.runtime.calls.levels import Grid
from lesa_framework.runtime.calls.tracking import Position
from lesa_framework.runtime.engine import Engine
from lesa_framework.testing import even_grid
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages

GRID = Grid(even_grid(8))


class Sum(AffinePredictor):
    """Adds up what it has; reads its own predictions."""

    depth, records = 3, "all"

    def min_history(self, stage: int) -> int:
        return 2

    def filter(self, entries, ctx):
        return Filter((1.0,) * len(entries))


def engine(predictor: Predictor, computed=(0, 4), **options) -> Engine:
    return Engine(Strategy(ComputeSteps(computed), EqualStages(), predictor, **options), "flux", Tap.PRE_HEAD)


def drive(engine: Engine, steps=range(8), *, branch="a", shape=(1, 2), first=True) -> list[Tensor]:
    """A run whose features are the step's number."""
    used = []
    for step in steps:
        latent = torch.zeros(shape)
        work = engine.begin(Position(first and not used, GRID, step, branch, 0), latent)
        if work.prediction is None:
            used.append(engine.computed(work, torch.full(shape, float(step))))
        else:
            used.append(work.prediction.clone())
        engine.end(work, used[-1])
    return used


def values(features: list[Tensor]) -> list[float]:
    return [float(feature.flatten()[0]) for feature in features]
