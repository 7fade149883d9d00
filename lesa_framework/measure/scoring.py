"""Timed runs, and how good their images are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from lesa_framework.errors import LesaError, MetricUnavailableError
from lesa_framework.generation import Samples
from lesa_framework.interfaces.metric import LoadedMetric
from lesa_framework.measure import metrics
from lesa_framework.measure.cells import Turn
from lesa_framework.measure.images import data_uri
from lesa_framework.measure.rows import Pair
from lesa_framework.plugin.manager import plugins
from lesa_framework.plugin.registry import Scorer


@dataclass(frozen=True)
class Judges:
    """What images are judged by, besides their distance from the uncached run's.

    Attributes:
        caption: Does a picture show what its caption names?
        metrics: Further metrics by name.
        notes: Which ones are missing, and why.
    """

    caption: Scorer | None = None
    metrics: Mapping[str, LoadedMetric] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def load_metrics(names: Sequence[str], device: torch.device) -> tuple[dict[str, LoadedMetric], list[str]]:
    """Load metrics, and say of those that cannot be loaded why they are skipped.

    Raises:
        UnknownPluginError: Nobody registered one of the names.
    """
    loaded: dict[str, LoadedMetric] = {}
    notes: list[str] = []
    for name in names:
        metric = plugins().registry.metrics.get(name)
        try:
            loaded[name] = metric.load(device)
        except MetricUnavailableError as error:
            notes.append(f"not measured: {error}")
    return loaded, notes


def judged(
    samples: Samples, reference: Samples, group: Sequence[Pair], judges: Judges, sitting: str, keep: int
) -> Turn:
    """Measure a batch against the uncached run's.

    Args:
        samples: What a method made.
        reference: What the uncached run made of the same prompts and seeds.
        group: Those prompts and seeds.
        judges: Further judges.
        sitting: Which start of the program this is.
        keep: Of how many pairs, from the first, the images are kept.

    Raises:
        LesaError: Latents or images are not finite.
    """
    for what, values in (("latents", samples.latents), ("images", samples.images)):
        if not bool(torch.isfinite(values).all()):
            raise LesaError(f"the {what} became NaN or infinite")
    prompts = [pair.prompt for pair in group]
    scores = {name: judge.judge(samples.images, reference.images, prompts) for name, judge in judges.metrics.items()}
    return Turn(
        sitting=sitting,
        seconds=samples.seconds,
        psnr_db=metrics.finite_or_none(metrics.psnr_db(samples.images, reference.images)),
        ssim=metrics.finite_or_none(metrics.ssim(samples.images, reference.images)),
        rel_l2=metrics.finite_or_none(metrics.rel_l2(samples.latents, reference.latents)),
        caption_score=metrics.finite_or_none(judges.caption(samples.images, prompts)) if judges.caption else [],
        scores={name: metrics.finite_or_none(each) for name, each in scores.items()},
        images=[data_uri(image) for image in samples.images[:keep]],
    )
