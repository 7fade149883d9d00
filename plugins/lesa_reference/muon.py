"""Muon over matrices of one shape at once."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

#: The quintic iteration of Keller Jordan's Muon, as torch's own optimiser has it.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5


def orthogonalised(matrices: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: five Newton-Schulz iterations.

    Args:
        matrices: Shape (count, rows, columns).
        dtype: Precision of the iterations; bfloat16 is enough for a direction.

    Returns:
        Same shape, in `dtype`. The singular values are between about 0.5 and 1.5.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.mT if tall else x


class BatchedMuon(torch.optim.Muon):
    """`torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, without a launch for each matrix.

    The steps and the state are those of torch's class up to rounding. It differs in speed: matrices of one shape are
    stacked, so that a model of 13 blocks needs five iterations and not a hundred.

    Args:
        matrices: Parameters with two dimensions.
        lr: Learning rate on AdamW's scale.
        weight_decay: Decoupled, as in AdamW.
    """

    def __init__(self, matrices: list[torch.nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step for all matrices that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes[matrix.shape].append(matrix)
            for shape, matrices in shapes.items():
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                # All updates of one shape have the same length, whatever the size of the gradient.
                rate = 0.2 * group["lr"] * max(shape) ** 0.5
                update = orthogonalised(torch.stack(self._moved(matrices, group["momentum"])))
                torch._foreach_add_(matrices, list(update.float().contiguous()), alpha=-rate)
        return loss

    def _moved(self, matrices: list[Tensor], momentum: float) -> tuple[Tensor, ...]:
        """The gradients with Nesterov's momentum."""
        for matrix in matrices:
            if "momentum_buffer" not in self.state[matrix]:
                self.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)
        kept = [self.state[matrix]["momentum_buffer"] for matrix in matrices]
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        torch._foreach_lerp_(kept, gradients, 1 - momentum)
        return torch._foreach_lerp(gradients, kept, momentum)
