"""Registers the metrics that need a library or weights of their own."""

from __future__ import annotations

from lesa_framework import Registrar, hookimpl
from lesa_metrics.clip import ClipScore
from lesa_metrics.image_reward import ImageReward
from lesa_metrics.lpips import Lpips


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register `lpips`, `clip_score` and `image_reward`."""
    registrar.add_metric(Lpips())
    registrar.add_metric(ClipScore())
    registrar.add_metric(ImageReward())
