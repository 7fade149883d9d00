"""Stage 2 with the trajectory as target: run the schedule, and pull the latents back onto the uncached run's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from lesa_framework.api import attach_strategy
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.runtime.engine import Strategy
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.training.graph_history import GraphHistory
from lesa_framework.training.rollout import Batch, Sampler
from lesa_framework.types import Tap

_TINY = 1e-12


def rollout(
    sampler: Sampler,
    strategy: Strategy,
    batch: Batch,
    *,
    backbone: str | BackboneConfig,
    tap: Tap,
    gradients: bool = False,
    through_model: bool = False,
) -> list[Tensor]:
    """Run the schedule for real.

    Args:
        sampler: What to run.
        strategy: Its predictor's predictions carry gradients if `gradients`.
        batch: What to sample.
        backbone: Kind of the adapter, or a configuration's `backbone` section.
        tap: Where features are taken.
        gradients: Keep the graph from the predictor's parameters to every latent.
        through_model: Keep it through computed steps too: exact, and as costly as training the model.

    Returns:
        T + 1 latents, from the initial noise to the result.
    """
    recorder = Recorder(features=False, latents=True)
    session = attach_strategy(
        sampler.pipe,
        strategy,
        backbone,
        tap,
        observers=(recorder,),
        new_history=GraphHistory,
        around_compute=nullcontext if through_model else torch.no_grad,
    )
    with session:
        final = sampler.run(batch, gradients=gradients)
    return [*recorder.latents, final]


def drift(latents: Sequence[Tensor], reference: Sequence[Tensor]) -> Tensor:
    """How far each step's latent is from the uncached run's.

    Args:
        latents: T + 1 tensors, batch first.
        reference: The uncached run's.

    Returns:
        Mean squared distance, shape (T + 1, batch).
    """
    return torch.stack([(x - y.to(x)).square().flatten(1).mean(1) for x, y in zip(latents, reference, strict=True)])


def trajectory_loss(latents: Sequence[Tensor], reference: Sequence[Tensor]) -> Tensor:
    """Mean over samples of the log of the drift, half of it at the end, half averaged over all steps.

    The log makes every sample count alike, as it does in PSNR: a few that went to another composition
    would otherwise drown the rest.
    """
    distance = drift(latents, reference)
    final, average = distance[-1], distance[1:].mean(0)
    return (0.5 * torch.log(final + _TINY) + 0.5 * torch.log(average + _TINY)).mean()
