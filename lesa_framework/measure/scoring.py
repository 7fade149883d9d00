"""The metrics of a measurement, and the scores that they give a batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch

from lesa_framework.errors import LesaError, MetricUnavailableError
from lesa_framework.interfaces.metric import LoadedMetric
from lesa_framework.measure.cells import Cell
from lesa_framework.measure.details import MetricInfo
from lesa_framework.measure.images import data_uri
from lesa_framework.measure.results import ALWAYS, Pair
from lesa_framework.plugin.manager import plugins
from lesa_framework.types import Samples

#: What notes about metrics that could not be loaded begin with.
SKIPPED: Final = "not measured: "


@dataclass(frozen=True)
class Metrics:
    """The metrics of a model's samples by name; `notes` say which others cannot be measured here, and why."""

    loaded: Mapping[str, LoadedMetric] = field(default_factory=dict)
    described: Mapping[str, MetricInfo] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def load_metrics(names: Iterable[str], device: torch.device) -> Metrics:
    """Load the metrics that are always measured and those named; those that cannot be loaded are noted.

    Raises:
        UnknownPluginError: One of the names is not registered.
    """
    loaded: dict[str, LoadedMetric] = {}
    described: dict[str, MetricInfo] = {}
    notes: list[str] = []
    for name in dict.fromkeys([*ALWAYS, *names]):
        metric = plugins().registry.metrics.get(name)
        try:
            loaded[name] = metric.load(device)
        except MetricUnavailableError as error:
            notes.append(f"{SKIPPED}{error}")
        else:
            described[name] = MetricInfo.model_validate(metric, from_attributes=True)
    return Metrics(loaded, described, tuple(notes))


def scored(
    read: Cell, samples: Samples, reference: Samples, group: Sequence[Pair], metrics: Metrics, keep: int
) -> Cell:
    """Measure a batch against the uncached run's; adds the scores, and the first `keep` images, to what was read.

    Raises:
        LesaError: Latents or images are not finite.
    """
    check_finite(samples)
    prompts = [pair.prompt for pair in group]
    scores = {name: finite_or_none(each.measure(samples, reference, prompts)) for name, each in metrics.loaded.items()}
    images = [data_uri(image) for image in samples.images[:keep]]
    return read.model_copy(
        update={"seconds": samples.seconds, "waited": samples.waited, "scores": scores, "images": images}
    )


def check_finite(samples: Samples) -> None:
    """Refuse samples that no metric can measure.

    Raises:
        LesaError: Latents or images are not finite.
    """
    for what, values in (("latents", samples.latents), ("images", samples.images)):
        if not bool(torch.isfinite(values).all()):
            raise LesaError(f"the {what} became NaN or infinite")


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are not None; None when there are none."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def finite_or_none(values: Iterable[float | None]) -> list[float | None]:
    """The values as JSON can hold them: no NaN, and no infinity (an identical sample's PSNR)."""
    return [value if value is not None and math.isfinite(value) else None for value in values]
