"""HiCache (arXiv 2508.16984): TaylorSeer's differences with scaled Hermite polynomials in place of powers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import factorial
from typing import Literal

from pydantic import Field

from lesa_framework import AffinePredictor, EntryInfo, Filter, PredictorConfig, StepContext


class HiCache(AffinePredictor):
    """`h_hat_i = sum_m D_m(i_0) s^m H_m(s (i - i_0)) / m!` over computed features.

    `H_m` are the physicists' Hermite polynomials and `D_m` the differences of TaylorSeer, formed over the step index.
    With `s = 0.5` the first order moves half as far as a straight line, as published.

    Args:
        order: Highest derivative, 0 (reuse) to 4.
        scale: `s`, which contracts the polynomials.
    """

    def __init__(self, order: int = 2, scale: float = 0.5) -> None:
        self.depth, self._scale = order + 1, scale

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The series as weights on the computed features."""
        steps = [entry.step for entry in entries[: self.depth]]
        # differences[j] is D_m at the j-th newest computed step, as weights on the features.
        differences = [[float(j == k) for k in range(len(steps))] for j in range(len(steps))]
        basis = hermite(self._scale * (ctx.index - steps[0]), len(steps))
        weights = [0.0] * len(steps)
        for m, value in enumerate(basis):
            factor = self._scale**m * value / factorial(m)
            weights = [total + factor * part for total, part in zip(weights, differences[0], strict=True)]
            differences = [
                [(new - old) / (steps[j] - steps[j + 1]) for new, old in zip(newer, older, strict=True)]
                for j, (newer, older) in enumerate(pairwise(differences))
            ]
        return Filter(tuple(weights))


def hermite(x: float, count: int) -> list[float]:
    """The physicists' Hermite polynomials `H_0(x)` to `H_{count-1}(x)`: `H_{m+1} = 2 x H_m - 2 m H_{m-1}`."""
    values = [1.0, 2 * x]
    for m in range(1, count - 1):
        values.append(2 * x * values[m] - 2 * m * values[m - 1])
    return values[:count]


class HiCacheConfig(PredictorConfig):
    """Extrapolate with Hermite polynomials over computed features."""

    kind: Literal["hicache"] = "hicache"
    order: int = Field(2, ge=0, le=4)
    """Highest derivative; 0 is reuse."""
    scale: float = Field(0.5, gt=0, le=1)
    """`s`, which contracts the polynomials; the authors' value is 0.5."""

    def build(self) -> HiCache:
        """Make the predictor."""
        return HiCache(self.order, self.scale)
