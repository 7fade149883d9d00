"""How far images and latents are from the uncached run's. Everything is float; nothing is rounded to 8 bits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def psnr_db(images: Tensor, references: Tensor) -> list[float]:
    """Peak signal-to-noise ratio of each image, `10 log10(1 / mse)`.

    Args:
        images: First axis batch, values in [0, 1].
        references: The same shape.

    Returns:
        Decibels; infinite for identical images, NaN for images that are not finite.
    """
    error = (images.double() - references.double()).square().flatten(1).mean(1)
    return [math.inf if value == 0 else -10 * math.log10(value) for value in error.tolist()]


def ssim(images: Tensor, references: Tensor) -> list[float]:
    """Structural similarity of each image, over 7x7 windows; of a video the mean over its frames.

    Args:
        images: Shape (batch, channels, height, width) or (batch, frames, channels, height, width), in [0, 1].
        references: The same shape.
    """
    from skimage.metrics import structural_similarity

    scores = []
    for image, reference in zip(images, references, strict=True):
        frames = zip(image.reshape(-1, *image.shape[-3:]), reference.reshape(-1, *image.shape[-3:]), strict=True)
        window = min(7, image.shape[-1], image.shape[-2])
        window -= 1 - window % 2
        each = [
            float(
                structural_similarity(
                    a.double().numpy(), b.double().numpy(), channel_axis=0, data_range=1.0, win_size=window
                )
            )
            for a, b in frames
        ]
        scores.append(sum(each) / len(each))
    return scores


def rel_l2(latents: Tensor, references: Tensor) -> list[float]:
    """Relative distance of each latent, `|x - x_ref| / |x_ref|` in Euclidean norm; first axis batch."""
    difference = torch.linalg.vector_norm((latents.double() - references.double()).flatten(1), dim=1)
    relative = difference / torch.linalg.vector_norm(references.double().flatten(1), dim=1)
    return [float(value) for value in relative]


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the finite values; None when there is none, or when one is NaN.

    Infinite PSNRs (identical images) and missing scores are left out; a NaN says that a run broke, and no mean
    may hide that.
    """
    known = [value for value in values if value is not None]
    if any(math.isnan(value) for value in known):
        return None
    finite = [value for value in known if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else None


def finite_or_none(values: Iterable[float | None]) -> list[float | None]:
    """The values as JSON can hold them: no NaN and no infinity."""
    return [value if value is not None and math.isfinite(value) else None for value in values]
