"""What a metric says of images, in the tests of metrics."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lesa_framework import LoadedMetric, Samples


def measured(
    metric: LoadedMetric, images: Tensor, references: Tensor, prompts: Sequence[str] | None = None
) -> list[float | None]:
    """The scores of images whose latents are the images themselves; every prompt is "a" when none are given."""
    words = ["a"] * len(images) if prompts is None else prompts
    return metric.measure(Samples(images, images), Samples(references, references), words)
