"""EasyCache (arXiv 2507.02860): compute when the output will have changed too much, judged by its last change."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lesa_framework import StepContext
from lesa_rivals.gates import Gate, GateConfig


class EasyCache(Gate):
    """`sum_n k |x_n - x_{n-1}| / |v_{n-1}|`, with `k = |v_c - v_b| / |x_c - x_b|` of the newest computed steps b and c.

    A schedule does not see the outputs `v`. With Euler's sampler they are the slopes of the latent,
    `v_n = (x_{n+1} - x_n) / (sigma_{n+1} - sigma_n)`. The sum is then `k` times the noise passed since c. With guidance
    in two calls they are the slopes of the guided output, which tends to change more than that of a branch.

    Args:
        threshold: `tau`: a step is computed when the sum reaches it.
        warmup: How many first steps are computed.
        max_predicted: The most steps that are predicted in a row.
    """

    dynamic = True
    reads_path = True

    def __init__(self, threshold: float = 0.05, warmup: int = 5, max_predicted: int = 6) -> None:
        super().__init__(threshold, warmup, max_predicted)

    def error(self, ctx: StepContext, newest: int) -> float:
        """The sum up to this step; not known at the second step of a branch."""
        before = min(ctx.path, default=newest)
        if before == newest or newest not in ctx.path or ctx.latent is None:
            return float("nan")
        latents = {**ctx.path, ctx.index: ctx.latent}
        slopes = []
        for step in (before, newest):
            passed = ctx.sigmas[step + 1] - ctx.sigmas[step]
            if not passed or step + 1 not in latents:  # a noise level that comes twice has no slope
                return float("nan")
            slopes.append((latents[step + 1].float() - latents[step].float()) / passed)
        turned, moved = slopes[1] - slopes[0], latents[newest].float() - latents[before].float()
        rate = float(turned.abs().mean() / moved.abs().mean())
        return rate * abs(ctx.sigma - ctx.sigmas[newest])


class EasyCacheConfig(GateConfig):
    """Compute when the output will have changed by a threshold, judged by its change at the newest computed step."""

    kind: Literal["easycache"] = "easycache"
    threshold: float = Field(0.05, gt=0, allow_inf_nan=False)
    """`tau`, the relative change of the output at which a step is computed."""
    warmup: int = Field(5, ge=1)
    """How many first steps are computed."""

    def build(self) -> EasyCache:
        """Make the schedule."""
        return EasyCache(self.threshold, self.warmup, self.max_predicted)
