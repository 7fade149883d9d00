"""Metrics: how good samples are, or how close to the uncached run's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from lesa_framework.errors import PluginContractError
from lesa_framework.types import Samples

#: Names that no metric may have: a row of results has these keys besides its scores, and a score that is not measured
#: on samples. They are listed here because `lesa_framework.measure` is above the plugins.
RESERVED: Final = frozenset(
    {
        "model", "name", "kind", "family", "schedule", "nfe", "num_steps", "work", "whole_steps", "seconds", "speedup",
        "timing_noise", "speedup_noise", "flops", "cache_bytes", "peak_bytes", "settings", "note", "error",
        "feature_rel_l2",
    }
)  # fmt: skip


class Metric(ABC):
    """Describes a measure of samples, and loads it. Making one is cheap and needs no library and no weights.

    Attributes:
        name: The name that a benchmark asks for it by, and the key of its scores in results. Keys that every row has,
            such as `seconds`, are refused.
        heading: Its heading in tables, with the unit if it has one.
        higher_is_better: The direction.
        summary: What it is, in one line.
        digits: Decimals in tables.

    Example:
        How much brighter or darker a picture is than the uncached one::

            class Brightness(Metric):
                name = "brightness"
                heading = "brightness off by"
                higher_is_better = False
                summary = "Distance of the mean brightness from the uncached picture's, in [0, 1]."

                def load(self, device):
                    return LoadedBrightness()

            class LoadedBrightness(LoadedMetric):
                def score(self, pictures, references, prompts):
                    return (pictures.mean((1, 2, 3)) - references.mean((1, 2, 3))).abs().tolist()
    """

    name: str
    heading: str
    higher_is_better: bool
    summary: str
    digits: int = 3

    @abstractmethod
    def load(self, device: torch.device | str) -> LoadedMetric:
        """Load what measuring needs. Nothing is downloaded: only what is on the machine may be used.

        Args:
            device: Where the metric's own model runs.

        Raises:
            MetricUnavailableError: A library or weights are not on the machine; the message names them and says how
                to get them.
        """


class LoadedMetric(ABC):  # noqa: B024 - which of the two methods a metric defines is its choice
    """A metric that is ready to measure. Define one of its two methods.

    Most metrics look at pictures one by one and define [`score`][lesa_framework.LoadedMetric.score]. One that needs
    latents, or a video as a whole, defines [`measure`][lesa_framework.LoadedMetric.measure] instead.

    Attributes:
        pictures_at_once: `score` is given at most this many pictures in one call; frames of videos are many.
    """

    pictures_at_once: int = 16

    def score(self, pictures: Tensor, references: Tensor, prompts: Sequence[str]) -> Sequence[float | None]:  # noqa: ARG002
        """Score pictures, each on its own.

        Args:
            pictures: Shape (pictures, 3, height, width), floats in [0, 1], on the CPU; read-only.
            references: The uncached run's, of the same shape.
            prompts: One for each picture.

        Returns:
            A number for each picture; None where the metric has nothing to say, for example about an empty prompt.
        """
        raise PluginContractError(f"{type(self).__name__}: defines neither `score` nor `measure`. Define one of them.")

    def measure(self, samples: Samples, references: Samples, prompts: Sequence[str]) -> list[float | None]:
        """Score a batch: by default each picture by `score`, and a video by the mean over its frames.

        Args:
            samples: Images of shape (batch, 3, height, width), or (batch, frames, 3, height, width) for videos, floats
                in [0, 1]; and the final latents. All on the CPU and read-only.
            references: The uncached run's, of the same shapes.
            prompts: One for each image or video.

        Returns:
            A number for each image or video; None where the metric has nothing to say about it.

        Raises:
            PluginContractError: The arguments do not fit together, or `score` returns too few or too many numbers.
        """
        images = samples.images
        _require_batch(images, references.images, prompts)
        frames = images.shape[1] if images.ndim == 5 else 1
        pictures, originals = images.flatten(0, -4), references.images.flatten(0, -4)
        captions = [prompt for prompt in prompts for _ in range(frames)]
        scores: list[float | None] = []
        with torch.no_grad():
            for start in range(0, len(captions), self.pictures_at_once):
                part = slice(start, start + self.pictures_at_once)
                found = list(self.score(pictures[part], originals[part], captions[part]))
                if len(found) != len(captions[part]):
                    raise PluginContractError(
                        f"{type(self).__name__}.score: returned {len(found)} numbers for {len(captions[part])} "
                        "pictures. Return one for each picture, None where there is nothing to say."
                    )
                scores += found
        return [_mean(scores[start : start + frames]) for start in range(0, len(scores), frames)]


def _require_batch(images: Tensor, references: Tensor, prompts: Sequence[str]) -> None:
    shape = tuple(images.shape)
    if images.ndim not in {4, 5} or images.shape[-3] != 3 or not images.is_floating_point():
        raise PluginContractError(
            f"images: {images.dtype} of shape {shape} cannot be measured. Valid: floats in [0, 1] of shape "
            "(batch, 3, height, width), or (batch, frames, 3, height, width) for videos."
        )
    if references.shape != images.shape:
        raise PluginContractError(
            f"references: shape {tuple(references.shape)}, but the images have {shape}. Give the uncached run's "
            "images of the same prompts and seeds."
        )
    if len(prompts) != len(images):
        raise PluginContractError(f"prompts: {len(prompts)} for {len(images)} images. Give one for each image.")


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None
