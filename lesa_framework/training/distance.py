"""How far a closed loop has drifted from the uncached run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: What a sample's mean squared distance counts at least, and at most, which is also that of one that is not finite.
_IDENTICAL, _LOST = 1e-20, 1e10


def drift(latents: Sequence[Tensor], reference: Sequence[Tensor]) -> Tensor:
    """How far each step's latent is from the uncached run's.

    Args:
        latents: Tensors, batch first.
        reference: The uncached run's, as many.

    Returns:
        Mean squared distance, shape (len(latents), batch), in float32 at least.
    """
    found = []
    for x, y in zip(latents, reference, strict=True):
        wide = torch.promote_types(x.dtype, torch.float32)  # bfloat16 tells decibels apart by eighths
        found.append((x.to(wide) - y.to(x.device, wide)).square().flatten(1).mean(1))
    return torch.stack(found)


def closeness_db(latents: Tensor, reference: Tensor) -> Tensor:
    """How close latents are to others, from -100 dB for those that are not finite to 200 dB for the same ones.

    Args:
        latents: Batch first.
        reference: In the same shape.

    Returns:
        `-10 log10` of the mean squared distance, shape (batch,).
    """
    (errors,) = drift([latents], [reference])
    return -10 * torch.log10(errors.nan_to_num(_LOST, _LOST).clamp(_IDENTICAL, _LOST))


def drift_db(latents: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """Closeness of the final latents in dB, mean over the batch; higher is closer."""
    return float(closeness_db(latents[-1], reference[-1]).detach().mean())
