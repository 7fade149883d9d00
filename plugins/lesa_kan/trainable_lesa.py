"""LESA while it is trained: the same formula, with gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lesa_framework import Filter, HistoryView, RunInfo, StepContext
from lesa_kan.base import Base, OnBase, added
from lesa_kan.experts import Experts, ExpertShape


class TrainableLesa(OnBase):
    """Differentiable LESA, which knows nothing about optimisers or files.

    The two-stage training calls `prepare` before every optimiser step, and lets it work in the loop. What `tensors` and
    `settings` return becomes the artifact that `TrainedLesa` then reads.

    Args:
        shape: Sizes of the experts.
        seed: Seed of the KANs' weights.
        keep_kans: Write the KANs' weights into an artifact, not only what they gave.
        records: What histories hold.
        base: What predicts in place of the newest feature; it is not trained, and every gain starts at 0.
    """

    def __init__(
        self,
        shape: ExpertShape,
        seed: int,
        *,
        keep_kans: bool = True,
        records: Literal["all", "computed"] = "all",
        base: Base | None = None,
    ) -> None:
        self.experts = Experts(shape, seed)
        super().__init__(shape, base, records)
        self._keep_kans = keep_kans
        if base is not None:
            self.restrain(0.0)
        self._gains = torch.zeros(shape.branches, shape.num_stages, shape.num_steps, device="cpu")

    def check(self, run: RunInfo) -> None:
        """Compare the run with that which the base's weights were made for."""
        if self.base is not None:
            self.base.predictor.check(run)

    def parameters(self) -> Sequence[nn.Parameter]:
        """Splines, taps and biases: what the optimiser changes."""
        return self.experts.trainable()

    def prepare(self, sigmas: Sequence[float]) -> None:
        """Evaluate the KANs on the whole grid at once, with gradients, for the predictions that follow."""
        self._gains = self.experts.gains(sigmas)

    def restrain(self, factor: float) -> None:
        """Scale every gain: 1 keeps the trained correction, and 0 removes it.

        Whatever the factor, the weights still have gradients afterwards: the closed loop trains on. What was fitted on
        true features may blow up on its own, and the closed loop starts from the strongest version that does not.
        """
        self.experts.multiply_gains(factor)

    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:
        """`h_{i-1} + a_s(d_i) (sum_k w_{s,k} h_{i-k} + b_s)` as one filter, in float32 at least.

        With a base, what that predicts stands in place of `h_{i-1}`. As one filter, the graph of a run keeps nothing
        but the features, which successive steps share.
        """
        shape = self.shape
        branch = min(ctx.branch_index, shape.branches - 1)
        count = min(shape.stage_history[ctx.stage], len(history.entries))
        gain = self._gains[branch, ctx.stage, ctx.index]
        weights = gain * self.experts.taps[branch, ctx.stage, :count]
        start = Filter((1.0,)) if self.base is None else self.base.filter(history.entries, ctx)
        return history.apply(added(start, weights, gain * self.experts.bias[branch, ctx.stage]))

    def correct(self, history: HistoryView, ctx: StepContext, feature: Tensor) -> Tensor | None:  # noqa: ARG002
        """That of the base."""
        found = None if self.base is None else self.base.correction(history.entries, ctx)
        return None if found is None else history.apply(found)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights, to resume from."""
        return self.experts.compact_state()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore weights."""
        self.experts.load_compact(dict(state))

    @torch.no_grad()
    def tensors(self, sigmas: Sequence[float]) -> dict[str, Tensor]:
        """The tensors of the artifact: weights, and the table of gains for the grid."""
        tensors = {**self.experts.compact_state(), "gains": self.experts.gains(sigmas).double()}
        tensors |= {} if self.base is None else self.base.tensors()
        dropped = set() if self._keep_kans else self.shape.kans().keys()
        return {name: tensor for name, tensor in tensors.items() if name not in dropped}

    def settings(self) -> dict[str, Any]:
        """Sizes of the experts, and what they start from, as JSON values for the artifact's metadata."""
        found = self.shape.as_json()
        if self.records != "all":
            found["records"] = self.records
        return found if self.base is None else {**found, "base": self.base.as_json()}
