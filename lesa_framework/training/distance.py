"""How far a closed loop has drifted from the uncached run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_TINY = 1e-20


def drift(latents: Sequence[Tensor], reference: Sequence[Tensor]) -> Tensor:
    """How far each step's latent is from the uncached run's.

    Args:
        latents: Tensors, batch first.
        reference: The uncached run's, as many.

    Returns:
        Mean squared distance, shape (len(latents), batch).
    """
    return torch.stack([(x - y.to(x)).square().flatten(1).mean(1) for x, y in zip(latents, reference, strict=True)])


def drift_db(latents: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """Distance of the final latents: `-10 log10` of the mean squared error, mean over the batch; higher is closer."""
    return float(-10 * torch.log10(drift(latents[-1:], reference[-1:]).detach().clamp_min(_TINY)).mean())
