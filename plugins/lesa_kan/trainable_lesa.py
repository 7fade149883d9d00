"""LESA while it is trained: the same formula, with gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lesa_framework import HistoryView, StepContext
from lesa_kan.experts import Experts, ExpertShape
from lesa_kan.trainable import TrainablePredictor


class TrainableLesa(TrainablePredictor):
    """Differentiable LESA.

    Args:
        shape: Sizes of the experts.
        seed: Seed of the KANs' weights.
        keep_kans: Write the KANs' weights into an artifact, not only what they gave.
    """

    records: Literal["all", "computed"] = "all"

    def __init__(self, shape: ExpertShape, seed: int, *, keep_kans: bool = True) -> None:
        self.experts = Experts(shape, seed)
        self._keep_kans = keep_kans
        self.depth = shape.depth
        self.num_stages = shape.num_stages
        self._gains = torch.zeros(shape.branches, shape.num_stages, shape.num_steps)

    def min_history(self, stage: int) -> int:  # noqa: ARG002 - the paper asks for the first stage's everywhere
        """K_0 features, in every stage."""
        return self.experts.shape.stage_history[0]

    def parameters(self) -> Sequence[nn.Parameter]:
        """Splines, taps and biases."""
        return self.experts.trainable()

    def prepare(self, sigmas: Sequence[float]) -> None:
        """Evaluate the KANs on the whole grid at once."""
        self._gains = self.experts.gains(sigmas)

    def restrain(self, factor: float) -> None:
        """Scale every gain."""
        self.experts.multiply_gains(factor)

    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:
        """`h_{i-1} + a_s(d_i) (sum_k w_{s,k} h_{i-k} + b_s)`, in float32 at least, whatever the features are."""
        shape = self.experts.shape
        branch = min(ctx.branch_index, shape.branches - 1)
        count = min(shape.stage_history[ctx.stage], len(history.entries))
        newest = history.feature(0)
        exact = torch.promote_types(newest.dtype, torch.float32)
        stack = torch.stack([history.feature(k).to(exact) for k in range(count)])
        taps = self.experts.taps[branch, ctx.stage, :count]
        correction = torch.tensordot(taps.to(stack), stack, dims=1) + self.experts.bias[branch, ctx.stage]
        return (newest + self._gains[branch, ctx.stage, ctx.index] * correction).to(newest.dtype)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights, to resume from."""
        return self.experts.compact_state()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore weights."""
        self.experts.load_compact(dict(state))

    @torch.no_grad()
    def tensors(self, sigmas: Sequence[float]) -> dict[str, Tensor]:
        """Weights, and the table of gains for the grid."""
        tensors = {**self.experts.compact_state(), "gains": self.experts.gains(sigmas).double()}
        dropped = set() if self._keep_kans else self.experts.shape.kans().keys()
        return {name: tensor for name, tensor in tensors.items() if name not in dropped}

    def settings(self) -> dict[str, Any]:
        """Sizes of the experts."""
        return self.experts.shape.as_json()
