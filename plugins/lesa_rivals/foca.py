"""FoCa (arXiv 2508.16211): a two-step forecast, calibrated with the slope at the newest computed step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from lesa_framework import AffinePredictor, EntryInfo, Filter, PredictorConfig, StepContext

#: More computed features than any run has that saves something.
_DEPTH = 64


class FoCa(AffinePredictor):
    """`f_i = f_{i-1} + (d_c + (b_i - f_{i-1})) / 2` with `b_i = 4/3 f_{i-1} - 1/3 f_{i-2} + 2/3 (f_{i-1} - f_{i-2})`.

    `b` forecasts with the second backward differentiation formula from the two newest features, predicted ones
    included; the slope to it is averaged, as in Heun's method, with `d_c`, the slope between the two newest computed
    features. All are affine in the computed features, from which the predictions before this one are made again.
    """

    depth = _DEPTH

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The recursion from the oldest computed step to this one, as weights on the computed features."""
        rows = dict(zip((entry.step for entry in entries), np.eye(len(entries)), strict=True))
        newest, slope = entries[-1].step, np.zeros(len(entries))
        used = [rows[newest]]
        for step in range(newest + 1, ctx.index + 1):
            if step in rows:
                slope, newest = (rows[step] - rows[newest]) / (step - newest), step
                used.append(rows[step])
                continue
            latest, before = used[-1], used[max(0, len(used) - 2)]
            forecast = (4 * latest - before + 2 * (latest - before)) / 3
            used.append(latest + (slope + forecast - latest) / 2)
        return Filter(tuple(used[-1].tolist()))


class FoCaConfig(PredictorConfig):
    """Forecast from the two newest features and calibrate with the slope of computed ones."""

    kind: Literal["foca"] = "foca"

    def build(self) -> FoCa:
        """Make the predictor."""
        return FoCa()
