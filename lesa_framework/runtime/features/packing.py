"""Features in eight bits: each is stored with a scale of its own, so that its largest value is the largest there is."""

from __future__ import annotations

import torch
from torch import Tensor

#: torch rounds to it, and adds nothing up in it.
EIGHT_BITS = torch.float8_e4m3fn


def packed(feature: Tensor) -> tuple[Tensor, Tensor]:
    """A feature divided by its scale, in eight bits, and the scale; nobody waits for the device."""
    scale = feature.detach().abs().amax().float() / torch.finfo(EIGHT_BITS).max
    # Of a feature of zeros; the division is done in the feature's dtype, in which the scale must not be 0 either.
    scale = scale.clamp_min(max(torch.finfo(dtype).tiny for dtype in (torch.float32, feature.dtype)))
    return (feature / scale).to(EIGHT_BITS), scale


def unpacked(stored: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The feature again, without the bits that were lost; scale and feature may be on different devices."""
    return stored.to(dtype) * scale.to(stored.device)


def as_packed(feature: Tensor) -> Tensor:
    """A feature without the bits that packing loses; gradients pass as if none were lost."""
    return feature + (unpacked(*packed(feature), feature.dtype) - feature).detach()
