"""FoCa (arXiv 2508.16211): a two-step forecast, calibrated with the slope at the newest computed step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from lesa_framework import AffinePredictor, EntryInfo, Filter, PredictorConfig, StepContext

#: More computed features than any run has that saves something.
_DEPTH = 64


class FoCa(AffinePredictor):
    """`f_i = f_{i-1} + (d_c + b_i - f_{i-1}) / 2` with `b_i = 4/3 f_{i-1} - 1/3 f_{i-2} + 2/3 d_{i-1}`.

    `b` forecasts with the second backward differentiation formula from the two newest features, predicted ones
    included. The slope to it is averaged, as in Heun's method, with `d_c`, the slope at the newest computed step c. A
    computed step's slope `d` is that from the computed feature before, as TaylorSeer forms it; a predicted one's is
    that from the step before. All are affine in the computed features, from which the predictions before this one are
    made again.
    """

    depth = _DEPTH

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The recursion from the oldest computed step to this one, as weights on the computed features."""
        rows = dict(zip((entry.step for entry in entries), np.eye(len(entries)), strict=True))
        newest = entries[-1].step
        computed = slope = np.zeros(len(entries))
        before = latest = rows[newest]
        for step in range(newest + 1, ctx.index + 1):
            if step in rows:
                computed = slope = (rows[step] - rows[newest]) / (step - newest)
                newest, before, latest = step, latest, rows[step]
                continue
            forecast = (4 * latest - before + 2 * slope) / 3
            slope = (computed + forecast - latest) / 2
            before, latest = latest, latest + slope
        return Filter(tuple(latest.tolist()))


class FoCaConfig(PredictorConfig):
    """Forecast from the two newest features and calibrate with the slope of computed ones."""

    kind: Literal["foca"] = "foca"

    def build(self) -> FoCa:
        """Make the predictor."""
        return FoCa()
