"""Closeness to the uncached run's samples. Everything is in float; nothing is rounded to 8 bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lesa_framework import LoadedMetric, Metric, Samples
from lesa_metrics.needs import library


class Psnr(Metric):
    """Peak signal-to-noise ratio, `10 log10(1 / mse)`; for a video over all its frames at once."""

    name = "psnr_db"
    heading = "PSNR, dB"
    higher_is_better = True
    summary = "Float PSNR against the uncached run; identical samples have none."
    digits = 2

    def load(self, device: torch.device | str) -> LoadedPsnr:  # noqa: ARG002 - it runs on the CPU
        """Nothing has to be loaded."""
        return LoadedPsnr()


class LoadedPsnr(LoadedMetric):
    """PSNR, ready."""

    def measure(self, samples: Samples, references: Samples, prompts: Sequence[str]) -> list[float | None]:  # noqa: ARG002
        """Decibels of each sample; infinite for identical samples, NaN for samples that are not finite."""
        error = (samples.images.double() - references.images.double()).square().flatten(1).mean(1)
        return [math.inf if value == 0 else -10 * math.log10(value) for value in error.tolist()]


class Ssim(Metric):
    """Structural similarity ([doi 10.1109/TIP.2003.819861](https://doi.org/10.1109/TIP.2003.819861)), 7x7 windows."""

    name = "ssim"
    heading = "SSIM"
    higher_is_better = True
    summary = "Structural similarity to the uncached run; 1 is the same picture."

    def load(self, device: torch.device | str) -> LoadedSsim:  # noqa: ARG002 - it runs on the CPU
        """Look for scikit-image.

        Raises:
            MetricUnavailableError: It is not installed.
        """
        library(self.name, "skimage.metrics", 'pip install "lesa-framework[diffusers]"')
        return LoadedSsim()


class LoadedSsim(LoadedMetric):
    """SSIM, ready."""

    def score(self, pictures: Tensor, references: Tensor, prompts: Sequence[str]) -> list[float | None]:  # noqa: ARG002
        """The similarity of each picture; for pictures smaller than 7 pixels, over windows that fit."""
        from skimage.metrics import structural_similarity

        window = min(7, pictures.shape[-1], pictures.shape[-2])
        window -= 1 - window % 2
        pairs = zip(pictures.double().numpy(), references.double().numpy(), strict=True)
        return [
            float(structural_similarity(one, other, channel_axis=0, data_range=1.0, win_size=window))
            for one, other in pairs
        ]


class RelativeL2(Metric):
    """Relative distance of the final latents, `|x - x_ref| / |x_ref|` in Euclidean norm."""

    name = "rel_l2"
    heading = "rel. L2"
    higher_is_better = False
    summary = "Relative Euclidean distance of the final latents from the uncached run's."

    def load(self, device: torch.device | str) -> LoadedRelativeL2:  # noqa: ARG002 - it runs on the CPU
        """Nothing has to be loaded."""
        return LoadedRelativeL2()


class LoadedRelativeL2(LoadedMetric):
    """Relative L2, ready."""

    def measure(self, samples: Samples, references: Samples, prompts: Sequence[str]) -> list[float | None]:  # noqa: ARG002
        """The distance of each sample's latents."""
        latents, originals = samples.latents.double().flatten(1), references.latents.double().flatten(1)
        norm = torch.linalg.vector_norm
        return [float(value) for value in norm(latents - originals, dim=1) / norm(originals, dim=1)]
