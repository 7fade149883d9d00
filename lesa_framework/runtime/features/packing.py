"""Features in eight bits: each sample is stored with a scale of its own, so that its largest value is the largest."""

from __future__ import annotations

import torch
from torch import Tensor

#: torch rounds to it, and adds nothing up in it.
EIGHT_BITS = torch.float8_e4m3fn


def packed(feature: Tensor) -> tuple[Tensor, Tensor]:
    """A feature divided by its scales, in eight bits, and the scales; nobody waits for the device.

    Samples do not change each other: not the precision of the small by the large, nor all that is finite by infinity.

    Args:
        feature: Shape (batch, ...). Where another axis comes first, there is a scale for each place along that one.

    Returns:
        In the feature's shape; float32, shape (batch, 1, ...).
    """
    plain = feature.detach()
    scale = plain.abs().amax(tuple(range(1, plain.ndim)), keepdim=True).float() / torch.finfo(EIGHT_BITS).max
    scale = scale.clamp_min(torch.finfo(torch.float32).tiny)  # of a sample of zeros
    # Half precision over scales in float32 would make a copy in float32.
    return torch.div(plain, scale, out=torch.empty_like(plain)).to(EIGHT_BITS), scale


def unpacked(stored: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The feature again, without the bits that were lost; scales and feature may be on different devices."""
    return stored.to(dtype).mul_(scale.to(stored.device))


def as_packed(feature: Tensor) -> Tensor:
    """A feature without the bits that packing loses; gradients pass as if none were lost."""
    return feature + (unpacked(*packed(feature), feature.dtype) - feature).detach()
