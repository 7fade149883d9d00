"""Registers the metrics: those of every measurement, and those that need a library or weights of their own."""

from __future__ import annotations

from lesa_framework import Registrar, hookimpl
from lesa_metrics.clip import ClipScore
from lesa_metrics.closeness import Psnr, RelativeL2, Ssim
from lesa_metrics.image_reward import ImageReward
from lesa_metrics.lpips import Lpips


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register `psnr_db`, `ssim` and `rel_l2`, and `lpips`, `clip_score` and `image_reward`."""
    for metric in (Psnr(), Ssim(), RelativeL2(), Lpips(), ClipScore(), ImageReward()):
        registrar.add_metric(metric)
