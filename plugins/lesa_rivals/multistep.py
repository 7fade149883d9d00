"""Polynomials through the newest computed features, over the noise level: at a point, or averaged over the step.

The average over a step is what Adams and Bashforth integrate: at the tap `output` and with Euler steps, the predicted
steps together make their method for uneven steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

from numpy.polynomial import Polynomial
from pydantic import Field

from lesa_framework import AffinePredictor, EntryInfo, Filter, PredictorConfig, StepContext


class Lagrange(AffinePredictor):
    """`h_hat_i = sum_j h_{i_j} L_j(sigma_i)`, with `L_j` the Lagrange basis on the noise levels of computed steps.

    Of features of the same noise level, as samplers of second order have them, the newest counts.

    Args:
        order: Degree of the polynomial, 0 (reuse) to 4; as high as the history allows while that is short.
    """

    def __init__(self, order: int = 1) -> None:
        self.depth = order + 1

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The basis at this step's noise level."""
        return Filter(tuple(float(basis(ctx.sigma)) for basis in self._basis(entries, ctx)))

    def _basis(self, entries: Sequence[EntryInfo], ctx: StepContext) -> list[Polynomial]:
        found: list[Polynomial] = []
        levels = [ctx.sigmas[entry.step] for entry in entries[: self.depth]]
        for j, node in enumerate(levels):
            factors = (Polynomial([-other, 1.0]) / (node - other) for other in dict.fromkeys(levels) if other != node)
            found.append(Polynomial([0.0]) if node in levels[:j] else prod(factors, start=Polynomial([1.0])))
        return found


class AdamsBashforth(Lagrange):
    """`h_hat_i = sum_j h_{i_j} 1/(sigma_{i+1} - sigma_i) int L_j`, from `sigma_i` to `sigma_{i+1}`.

    Args:
        order: Degree of the polynomial, 0 (reuse) to 4; as high as the history allows while that is short.
    """

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The means of the basis over this step."""
        start, end = ctx.sigmas[ctx.index], ctx.sigmas[ctx.index + 1]
        if start == end:  # the first call of two at one noise level: a mean over nothing is the value there
            return super().filter(entries, ctx)
        integrals = [basis.integ(lbnd=start) for basis in self._basis(entries, ctx)]
        return Filter(tuple(float(integral(end)) / (end - start) for integral in integrals))


class LagrangeConfig(PredictorConfig):
    """Extrapolate with a polynomial over the noise levels of computed features."""

    kind: Literal["lagrange"] = "lagrange"
    order: int = Field(1, ge=0, le=4)
    """Degree of the polynomial; 0 is reuse."""

    def build(self) -> Lagrange:
        """Make the predictor."""
        return Lagrange(self.order)


class AdamsBashforthConfig(PredictorConfig):
    """The mean over the step of a polynomial over the noise levels of computed features."""

    kind: Literal["adams_bashforth"] = "adams_bashforth"
    order: int = Field(1, ge=0, le=4)
    """Degree of the polynomial; 0 is reuse."""

    def build(self) -> AdamsBashforth:
        """Make the predictor."""
        return AdamsBashforth(self.order)
