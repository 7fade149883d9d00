"""Learning from features: stage 1 (true history) and the paper's stage 2 (own history), step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lesa_framework.interfaces.observer import Observer
from lesa_framework.interfaces.predictor import Predictor
from lesa_framework.interfaces.trainable import TrainablePredictor
from lesa_framework.runtime.engine import Strategy, due
from lesa_framework.training.graph_history import GraphHistory
from lesa_framework.types import EntryInfo, HistoryView, Reason, RunInfo, StepContext, StepRecord

#: Takes the loss of one predicted step, with its graph, and makes an optimiser step.
Learn = Callable[[Tensor], None]


def step_loss(learner: TrainablePredictor, history: HistoryView, ctx: StepContext, target: Tensor) -> Tensor:
    """L1 distance between prediction and true feature, with gradients to the learner's parameters.

    Args:
        learner: Its `prepare` is called, so that each step has a graph of its own.
        history: Features without gradients.
        ctx: The step.
        target: The uncached run's feature at this step, (batch, tokens, channels).
    """
    with torch.enable_grad():
        learner.prepare(ctx.sigmas)
        return (learner.predict(history, ctx) - target.detach()).abs().mean()


@dataclass
class GuidedObserver(Observer):
    """Stage 1: watches an uncached run and learns every step that the schedule would predict.

    The history holds the true features, as they come: nothing is dumped to disk.

    Attributes:
        strategy: Schedule and router to learn for; its predictor is the learner.
        learner: What learns.
        learn: Makes an optimiser step.
    """

    strategy: Strategy
    learner: TrainablePredictor
    learn: Learn
    _sigmas: tuple[float, ...] = ()
    _branches: dict[str, GraphHistory] = field(default_factory=dict)

    def lesa_run_start(self, run: RunInfo) -> None:
        """Forget the last run."""
        self._sigmas, self._branches = run.sigmas, {}

    def lesa_step_end(self, record: StepRecord, latent: Tensor, feature: Tensor) -> None:
        """Predict the feature that was just computed, and learn from the difference."""
        history = self._branches.setdefault(record.branch, GraphHistory(self.learner.depth))
        ctx = StepContext(
            record.index,
            self._sigmas,
            record.branch,
            list(self._branches).index(record.branch),
            self.strategy.router.stage(self._sigmas[record.index]),
            history.entries,
            latent,
        )
        reason = due(self.strategy, ctx)
        if reason is Reason.PREDICTED:
            self.learn(step_loss(self.learner, history, ctx, feature))
        computed = reason is not Reason.PREDICTED
        if computed or self.learner.records == "all":
            history.append(feature.detach().clone(), EntryInfo(record.index, computed))


class OnlineLearner(Predictor):
    """The paper's stage 2: predicts for the engine, and learns from each prediction before handing it over.

    Args:
        learner: What learns.
        features: (branch, step) -> the uncached run's feature.
        learn: Makes an optimiser step.
    """

    def __init__(self, learner: TrainablePredictor, features: Mapping[tuple[str, int], Tensor], learn: Learn) -> None:
        self._learner, self._features, self._learn = learner, features, learn
        self.depth, self.records, self.num_stages = learner.depth, learner.records, learner.num_stages

    def min_history(self, stage: int) -> int:
        """The learner's."""
        return self._learner.min_history(stage)

    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:
        """Learn from the prediction, then return what the better weights predict."""
        self._learn(step_loss(self._learner, history, ctx, self._features[ctx.branch, ctx.index]))
        with torch.no_grad():
            self._learner.prepare(ctx.sigmas)
            return self._learner.predict(history, ctx)
