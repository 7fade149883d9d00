"""A predictor whose numbers are fitted: `h_hat_i = w_i1 h_1 + w_i2 h_2`, with two weights for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lesa_framework import (
    AffinePredictor,
    ConfigError,
    ConfigPath,
    EntryInfo,
    Filter,
    FitTask,
    PredictorConfig,
    RunInfo,
    StepContext,
)
from lesa_framework.artifacts import Artifact, check_run, load_artifact
from lesa_lagrange.least_squares import LeastSquares


class TwoWeights(AffinePredictor):
    """Weighs the two newest computed features.

    Args:
        artifact: What the fit left: `weights`, shape (steps, 2).
        strict: Refuse other models.
    """

    depth = 2

    def __init__(self, artifact: Artifact, *, strict: bool = True) -> None:
        self._made_for, self._strict = artifact.metadata, strict
        self.trained_for = artifact.metadata.run  # its grid is what `lesa plan` shows
        self._weights = artifact.tensor("weights", (len(artifact.metadata.sigmas) - 1, 2)).tolist()

    def min_history(self, stage: int) -> int:
        """Both features."""
        return 2

    def check(self, run: RunInfo) -> None:
        """Refuse a run that the weights were not fitted for, and warn of one that they may not be right for."""
        check_run(self._made_for, run, strict=self._strict)

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The step's weights."""
        return Filter(tuple(self._weights[ctx.index]))


class TwoWeightsConfig(PredictorConfig):
    """Two weights for each step, fitted by least squares."""

    kind: Literal["two_weights"] = "two_weights"
    weights: ConfigPath | None = None
    """The file that `lesa train` wrote."""
    strict: bool = True
    """Refuse other models, and warn of other weights, input sizes and guidance."""

    def build(self) -> TwoWeights:
        """Read the weights."""
        if self.weights is None:
            raise ConfigError("predictor.weights: 'two_weights' has to be fitted first. Fit it with `lesa train`.")
        return TwoWeights(load_artifact(self.weights, self.kind), strict=self.strict)

    def fit(self, task: FitTask) -> LeastSquares:
        """Fit the weights to a model."""
        return LeastSquares(task)
