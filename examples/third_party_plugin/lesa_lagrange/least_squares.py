"""A fit without gradients: ridge regression on the uncached run's features, step by step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lesa_framework import Fit, FitTask, HistoryView, Progress, Reuse, StepContext
from lesa_framework.training import TrueHistory

#: Relative to the Gram matrix's largest entry: neighbouring features are nearly the same.
RIDGE = 1e-6


class _Unfitted(Reuse):
    """What is fitted: two computed features, of which the newest counts."""

    depth = 2

    def min_history(self, stage: int) -> int:
        return 2


class LeastSquares(Fit):
    """For each predicted step the two weights that come closest to the true feature, over all prompts.

    Only a 2 x 2 Gram matrix a step is kept, in float64 on the CPU, whatever the default device is. A step that
    is never predicted in the fit reuses the newest feature, in case another schedule predicts it.

    Args:
        task: Prompts, schedule and runs of the sampler.
    """

    def __init__(self, task: FitTask) -> None:
        steps = len(task.sigmas) - 1
        self._task, self.predictor = task, _Unfitted()
        self._gram = torch.zeros(steps, 2, 2, dtype=torch.float64, device="cpu")
        self._moment = torch.zeros(steps, 2, dtype=torch.float64, device="cpu")

    def run(self) -> Iterator[Progress]:
        """One uncached run a batch."""
        for done, batch in enumerate(self._task.batches, start=1):
            self._task.uncached(batch, TrueHistory(self._task, self.predictor, self._add))
            yield Progress("least squares", done, len(self._task.batches))

    def tensors(self) -> dict[str, Tensor]:
        """Solve for the weights."""
        ridge = RIDGE * self._gram.amax((1, 2), keepdim=True) * torch.eye(2, dtype=torch.float64, device="cpu")
        inverse = torch.linalg.pinv(self._gram + ridge, hermitian=True)
        weights = (inverse @ self._moment.unsqueeze(-1)).squeeze(-1)
        weights[self._gram.amax((1, 2)) == 0, 0] = 1.0  # nothing was added: such a step reuses
        return {"weights": weights}

    def _add(self, history: HistoryView, ctx: StepContext, feature: Tensor) -> None:
        past = torch.stack([history.feature(0), history.feature(1)]).flatten(1).double().cpu()
        self._gram[ctx.index] += past @ past.T
        self._moment[ctx.index] += past @ feature.flatten().double().cpu()
