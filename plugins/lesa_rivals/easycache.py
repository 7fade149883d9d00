"""EasyCache (arXiv 2507.02860): compute when the output will have changed too much, judged by its last change."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lesa_framework import StepContext
from lesa_rivals.gates import Gate, GateConfig, relative_changes


class EasyCache(Gate):
    """`sum_n k |x_n - x_{n-1}| / |v_{n-1}|`, with `k = |v_c - v_{c-1}| / |x_c - x_{c-1}|` at the computed step c.

    A schedule does not see the outputs `v`. With Euler's sampler they are the slopes of the latent,
    `v_n = (x_{n+1} - x_n) / (sigma_{n+1} - sigma_n)`. The sum is then the relative change of `v` at c, the newest
    computed step, times the noise passed since c, over the noise of the step before c.

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
        latents = {**ctx.path, ctx.index: ctx.latent}
        before, at, after = (latents.get(step) for step in (newest - 1, newest, newest + 1))
        if before is None or at is None or after is None:
            return float("nan")
        step, next_step = (ctx.sigmas[newest + k] - ctx.sigmas[newest + k - 1] for k in (0, 1))
        if not step or not next_step:  # a noise level that comes twice has no slope
            return float("nan")
        slopes = [(at.float() - before.float()) / step, (after.float() - at.float()) / next_step]
        return relative_changes(slopes)[0] * (ctx.sigma - ctx.sigmas[newest]) / step


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
