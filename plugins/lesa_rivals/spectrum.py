"""Spectrum (arXiv 2603.01623): a ridge fit of Chebyshev polynomials to every computed feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from pydantic import Field

from lesa_framework import AffinePredictor, EntryInfo, Filter, PredictorConfig, StepContext

#: More computed features than any run has that saves something.
_DEPTH = 64


class Spectrum(AffinePredictor):
    """`h_hat_i = w phi(t_i) (Phi^T Phi + lambda I)^-1 Phi^T H + (1 - w) (straight line)`.

    `phi` are the first Chebyshev polynomials, `t` the place in the run, from -1 at its first step to 1 at its end;
    `Phi` has a row for each computed feature. The line runs through the two newest computed features.

    Args:
        degree: How many polynomials after the constant one.
        ridge: `lambda`.
        mix: `w`; 1 is the paper's, and the authors' release has others besides.
    """

    depth = _DEPTH

    def __init__(self, degree: int = 4, ridge: float = 0.1, mix: float = 1.0) -> None:
        self._degree, self._ridge, self._mix = degree, ridge, mix

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The fit as weights on the computed features."""
        places = np.array([*(entry.step for entry in entries), ctx.index], dtype=np.float64)
        basis = chebvander(2 * places / ctx.num_steps - 1, self._degree)
        known, wanted = basis[:-1], basis[-1]
        gram = known.T @ known + self._ridge * np.eye(self._degree + 1)
        weights = self._mix * (known @ np.linalg.solve(gram, wanted))
        slope = (ctx.index - entries[0].step) / (entries[0].step - entries[1].step) if len(entries) > 1 else 0.0
        weights[0] += (1 - self._mix) * (1 + slope)
        weights[1:2] -= (1 - self._mix) * slope
        return Filter(tuple(weights.tolist()))


class SpectrumConfig(PredictorConfig):
    """Extrapolate with a ridge fit of Chebyshev polynomials to all computed features."""

    kind: Literal["spectrum"] = "spectrum"
    degree: int = Field(4, ge=0, le=32)
    """How many polynomials after the constant one."""
    ridge: float = Field(0.1, gt=0, allow_inf_nan=False)
    """`lambda`; the authors' value is 0.1."""
    mix: float = Field(1.0, ge=0, le=1)
    """`w`: the fit's part of the forecast, the rest is a straight line's; the authors recommend 0.5 to 1."""

    def build(self) -> Spectrum:
        """Make the predictor."""
        return Spectrum(self.degree, self.ridge, self.mix)
