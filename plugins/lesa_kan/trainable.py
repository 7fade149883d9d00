"""The predictors that the two-stage training can train."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from lesa_framework import Predictor


class TrainablePredictor(Predictor):
    """A predictor with parameters. It predicts differentiably and knows nothing about optimisers or files.

    The two-stage training calls `prepare` before every optimiser step and lets the predictor work in the loop. What
    `tensors` and `settings` return becomes the artifact that the plain predictor then reads.
    """

    @abstractmethod
    def parameters(self) -> Sequence[nn.Parameter]:
        """The parameters that the optimiser changes."""

    @abstractmethod
    def prepare(self, sigmas: Sequence[float]) -> None:
        """Evaluate what depends only on parameters and grid, with gradients, for the predictions that follow."""

    @abstractmethod
    def restrain(self, factor: float) -> None:
        """Shrink the trained correction towards what it started from: 1 keeps it, 0 removes it.

        Whatever the factor, the parameters must still have gradients afterwards: the closed loop trains on.

        A predictor fitted on true features may blow up on its own; the closed loop starts from the
        strongest version of it that does not.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Parameters, to resume from."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Tensor]) -> object:
        """Restore parameters."""

    @abstractmethod
    def tensors(self, sigmas: Sequence[float]) -> dict[str, Tensor]:
        """The tensors of the artifact, tables for this grid included."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Shape of the predictor, as JSON values, for the artifact's metadata."""
