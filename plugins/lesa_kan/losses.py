"""What the two stages minimise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lesa_framework import HistoryView, StepContext
from lesa_framework.training import drift
from lesa_kan.trainable_lesa import TrainableLesa

_TINY = 1e-12


def step_loss(trainable: TrainableLesa, history: HistoryView, ctx: StepContext, target: Tensor) -> Tensor:
    """L1 distance between prediction and true feature in float32, with gradients to the trainable's parameters.

    Args:
        trainable: Its `prepare` is called, so that each step has a graph of its own.
        history: Features without gradients.
        ctx: The step.
        target: The uncached run's feature at this step, (batch, tokens, channels).
    """
    with torch.enable_grad():
        trainable.prepare(ctx.sigmas)
        wide = torch.promote_types(target.dtype, torch.float32)  # a difference may be infinite in float16, a mean 0
        return (trainable.predict(history, ctx).to(wide) - target.detach().to(wide)).abs().mean()


def trajectory_loss(latents: Sequence[Tensor], reference: Sequence[Tensor]) -> Tensor:
    """Mean over samples of the log of the drift, half from the end of the run, half averaged over all steps.

    The log makes every sample count alike, as it does in PSNR: a few that went to another composition
    would otherwise drown the rest.
    """
    distance = drift(latents, reference)
    final, average = distance[-1], distance[1:].mean(0)
    return (0.5 * torch.log(final + _TINY) + 0.5 * torch.log(average + _TINY)).mean()
