"""The paper's stage 2: train on each prediction while the schedule runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from lesa_framework import HistoryView, Predictor, RunInfo, StepContext, Tuning
from lesa_kan.losses import step_loss
from lesa_kan.trainable_lesa import TrainableLesa

#: Called with the loss of one predicted step, with its graph; makes an optimiser step.
Learn: TypeAlias = Callable[[Tensor], None]


class OnlineTraining(Predictor):
    """Predicts for the engine, and trains on each prediction before returning it.

    Args:
        trainable: What is trained.
        features: (branch, step) -> the uncached run's feature.
        learn: Makes an optimiser step.
    """

    def __init__(self, trainable: TrainableLesa, features: Mapping[tuple[str, int], Tensor], learn: Learn) -> None:
        self._trainable, self._features, self._learn = trainable, features, learn
        self.depth, self.records, self.num_stages = trainable.depth, trainable.records, trainable.num_stages
        self.looks_ahead = trainable.looks_ahead

    def min_history(self, stage: int) -> int:
        """That of the trainable."""
        return self._trainable.min_history(stage)

    def check(self, run: RunInfo) -> None:
        """That of the trainable."""
        self._trainable.check(run)

    def correct(self, history: HistoryView, ctx: StepContext, feature: Tensor) -> Tensor | None:
        """That of the trainable."""
        return self._trainable.correct(history, ctx, feature)

    def tuning(self, ctx: StepContext) -> Tuning | None:
        """That of the trainable."""
        return self._trainable.tuning(ctx)

    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:
        """Train on the prediction, then return the prediction of the updated weights."""
        self._learn(step_loss(self._trainable, history, ctx, self._features[ctx.branch, ctx.index]))
        with torch.no_grad():
            self._trainable.prepare(ctx.sigmas)
            return self._trainable.predict(history, ctx)
