"""Lagrange extrapolation over the noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from lesa_framework import AffinePredictor, EntryInfo, Filter, PredictorConfig, StepContext


class Lagrange(AffinePredictor):
    """The polynomial through the newest computed features, over the noise level instead of the step's number.

    `h_hat(sigma) = sum_k h_k prod_{j != k} (sigma - sigma_j) / (sigma_k - sigma_j)`

    Order 1 is a straight line. While fewer than `order + 1` features are held, the order is as high as they allow.

    Args:
        order: Degree of the polynomial.
    """

    def __init__(self, *, order: int = 1) -> None:
        self.order = order
        self.depth = order + 1  # features that the history keeps; computed ones only, which is the default

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """One weight for each feature held."""
        nodes = [ctx.sigmas[entry.step] for entry in entries]
        return Filter(
            tuple(0.0 if node in nodes[:k] else _basis(node, nodes, ctx.sigma) for k, node in enumerate(nodes))
        )


def _basis(node: float, nodes: Sequence[float], sigma: float) -> float:
    """The polynomial that is 1 at a node and 0 at the others, at a noise level.

    Samplers with two calls a step repeat a level; its newest feature counts.
    """
    return math.prod((sigma - other) / (node - other) for other in set(nodes) if other != node)


class LagrangeConfig(PredictorConfig):
    """Extrapolate with a polynomial in the noise level."""

    kind: Literal["my_lagrange"] = "my_lagrange"
    order: int = Field(1, ge=0, le=3)
    """Degree of the polynomial; 1 is a straight line."""

    def build(self) -> Lagrange:
        """Make the predictor."""
        return Lagrange(order=self.order)
