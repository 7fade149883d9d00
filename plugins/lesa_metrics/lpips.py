"""LPIPS: how far pictures are from the uncached run's, in the features of a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from lesa_framework import LoadedMetric, Metric, MetricUnavailableError
from lesa_metrics.needs import finite, library

_FROM_REGISTRY: Final = 'pip install "lesa-framework[metrics]"'
#: AlexNet's second pooling leaves nothing of pictures with a shorter side.
_SMALLEST: Final = 31


class Lpips(Metric):
    """Learned perceptual image patch similarity ([arXiv 1801.03924](https://arxiv.org/abs/1801.03924)), AlexNet.

    Computed by torchmetrics, which brings the linear weights; the AlexNet is torchvision's.
    """

    name = "lpips"
    heading = "LPIPS"
    higher_is_better = False
    summary = "Perceptual distance from the uncached picture, by AlexNet's features; 0 is the same picture."

    def load(self, device: torch.device | str) -> LoadedLpips:
        """Load torchmetrics' LPIPS and torchvision's AlexNet.

        Raises:
            MetricUnavailableError: torchmetrics, torchvision or AlexNet's weights are not on the machine.
        """
        lpip = library(self.name, "torchmetrics.image.lpip", _FROM_REGISTRY)
        torchvision = library(self.name, "torchvision", "pip install torchvision")
        url = str(torchvision.models.AlexNet_Weights.DEFAULT.url)
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        weights = folder / url.rpartition("/")[2]
        if not weights.is_file():
            raise MetricUnavailableError(
                f"{self.name}: AlexNet's weights ({weights.name}) are not in the local torch hub cache; "
                f"fetch them with `curl --create-dirs -o {weights} {url}`"
            )
        network = lpip.LearnedPerceptualImagePatchSimilarity(net_type="alex", reduction="none", normalize=True)
        return LoadedLpips(network.to(device), device)


class LoadedLpips(LoadedMetric):
    """LPIPS, ready.

    Args:
        network: torchmetrics' `LearnedPerceptualImagePatchSimilarity` for pictures in [0, 1], a number a picture.
        device: Where it is.
    """

    def __init__(self, network: Any, device: torch.device | str) -> None:
        self._network, self._device = network, device

    def score(self, pictures: Tensor, references: Tensor, prompts: Sequence[str]) -> list[float | None]:
        """The distance of each picture; NaN for those that are not finite, None for those under 31 pixels."""
        if min(pictures.shape[-2:]) < _SMALLEST:
            return [None] * len(prompts)
        known = finite(pictures) & finite(references)
        scores = torch.full((len(prompts),), torch.nan)
        if known.any():
            given = (part[known].float().clamp(0, 1).to(self._device) for part in (pictures, references))
            scores[known] = self._network(*given).float().cpu()
            self._network.reset()  # it accumulates its inputs for a mean that is not needed here
        return [float(score) for score in scores]
