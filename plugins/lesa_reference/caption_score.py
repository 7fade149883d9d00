"""The caption score as a metric; registering it is light, loading it needs diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lesa_framework import LoadedMetric, Metric, MetricUnavailableError, Samples

if TYPE_CHECKING:
    from lesa_reference.caption_network import CaptionNetwork


class CaptionScore(Metric):
    """Whether a drawn scene shows the things that its caption names; used here instead of CLIP or ImageReward."""

    name = "caption_score"
    heading = "caption"
    higher_is_better = True
    summary = (
        "How sure a small network is, from 0 to 1, that a picture shows the coloured shapes its caption names: 0.3 is "
        "30 % sure, on average. Only for the small drawn scenes; the uncached row is the model's own score."
    )

    def load(self, device: torch.device | str) -> LoadedCaptionScore:  # noqa: ARG002 - small enough for the CPU
        """Read the bundled networks.

        Raises:
            MetricUnavailableError: It cannot be read.
        """
        from lesa_reference.caption_network import CLIPS, PICTURES, load_network

        try:
            return LoadedCaptionScore(load_network(PICTURES), load_network(CLIPS))
        except OSError as error:
            raise MetricUnavailableError(
                f"{self.name}: a bundled network cannot be read ({error}); reinstall lesa-framework"
            ) from error


class LoadedCaptionScore(LoadedMetric):
    """The caption score, ready.

    Args:
        pictures: Gives the probability of each pair of colour and shape in a picture.
        clips: The same for a frame of a clip.
    """

    def __init__(self, pictures: CaptionNetwork, clips: CaptionNetwork) -> None:
        self._pictures, self._clips = pictures, clips

    def measure(self, samples: Samples, references: Samples, prompts: Sequence[str]) -> list[float | None]:  # noqa: ARG002
        """The score of each picture, or of a video's middle frame; None where the caption names nothing."""
        from lesa_reference.caption_network import caption_scores, is_clip

        network = self._clips if is_clip(samples.images) else self._pictures
        return caption_scores(network, samples.images, prompts)
