"""The simplest schedule, router and predictors, with which the suites combine the plugin under test."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor

from lesa_framework.interfaces.predictor import AffinePredictor, Predictor
from lesa_framework.interfaces.router import StageRouter
from lesa_framework.interfaces.schedule import SchedulePolicy
from lesa_framework.types import (
    Decision,
    EntryInfo,
    Filter,
    HistoryView,
    StepContext,
)


class ComputeSteps(SchedulePolicy):
    """Compute the given steps; all of them when None.

    Args:
        steps: Step numbers.
    """

    def __init__(self, steps: Collection[int] | None = None) -> None:
        self.steps = None if steps is None else frozenset(steps)

    def decide(self, ctx: StepContext) -> Decision:
        """Look the step up."""
        return Decision.COMPUTE if self.steps is None or ctx.index in self.steps else Decision.PREDICT


class EqualStages(StageRouter):
    """Stages of equal width, the noisiest first.

    Args:
        num_stages: How many.
    """

    def __init__(self, num_stages: int = 1) -> None:
        self.num_stages = num_stages

    def stage(self, sigma: float) -> int:
        """The stage of a noise level."""
        return min(int((1 - sigma) * self.num_stages), self.num_stages - 1)


class Mean(AffinePredictor):
    """The mean of the newest computed features: whatever has no business in the history changes it."""

    depth = 3

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:  # noqa: ARG002
        """The same weight for all."""
        return Filter((1 / len(entries),) * len(entries))


class Oracle(Predictor):
    """Returns features that were recorded before, one a step.

    Args:
        features: By step.
        change: How much of each channel is added to the next one; norms, which see through shifts and scales, see it.
    """

    def __init__(self, features: Sequence[Tensor], change: float = 0.0) -> None:
        self.features, self.change = features, change

    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:  # noqa: ARG002
        """What the uncached run had."""
        feature = self.features[ctx.index]
        return feature + self.change * feature.roll(1, dims=-1) if self.change else feature
