"""TaylorSeer (arXiv 2503.06923): a Taylor series over the step index."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from pydantic import Field

from lesa_framework import AffinePredictor, EntryInfo, Filter, PredictorConfig, StepContext


class TaylorSeer(AffinePredictor):
    """`h_hat_i = sum_m D_m(i_0) (i - i_0)^m / m!` over computed features.

    `D_0(j) = h_j` and `D_{m+1}(j) = (D_m(j) - D_m(j')) / (j - j')`, where `j'` is the computed step
    before `j`. Each difference is divided by the gap at which it is formed: for order 2 and up this is
    the published recursion and not Newton's interpolation. While fewer than `order + 1` features are
    held, the order is as high as they allow.

    Args:
        order: Highest derivative, 0 (reuse) to 4.
    """

    def __init__(self, order: int = 1) -> None:
        self.depth = order + 1

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The series as weights on the computed features."""
        return _series(tuple([entry.step for entry in entries[: self.depth]]), ctx.index)


@lru_cache(4096)  # the same steps come in every run
def _series(steps: tuple[int, ...], index: int) -> Filter:
    """The series from computed steps, newest first, to another step."""
    # differences[j] is D_m at the j-th newest computed step, as weights on the features.
    differences = [[float(j == k) for k in range(len(steps))] for j in range(len(steps))]
    distance, factor = index - steps[0], 1.0
    weights = [0.0] * len(steps)
    for m in range(len(steps)):
        weights = [total + factor * part for total, part in zip(weights, differences[0], strict=True)]
        factor *= distance / (m + 1)
        differences = [
            [(new - old) / (steps[j] - steps[j + 1]) for new, old in zip(newer, older, strict=True)]
            for j, (newer, older) in enumerate(pairwise(differences))
        ]
    return Filter(tuple(weights))


class TaylorSeerConfig(PredictorConfig):
    """Extrapolate with finite differences over computed features."""

    kind: Literal["taylorseer"] = "taylorseer"
    order: int = Field(1, ge=0, le=4)
    """Highest derivative; 0 is reuse, 1 a straight line."""

    def build(self) -> TaylorSeer:
        """Make the predictor."""
        return TaylorSeer(self.order)
