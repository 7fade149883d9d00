"""Naive reuse: the newest computed feature, held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lesa_framework import AffinePredictor, EntryInfo, Filter, PredictorConfig, StepContext


class Reuse(AffinePredictor):
    """`h_hat_i = h_{i_0}`, `i_0` being the newest computed step."""

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:  # noqa: ARG002
        """One weight of 1."""
        return _NEWEST


_NEWEST = Filter((1.0,))


class ReuseConfig(PredictorConfig):
    """Hold the newest computed feature."""

    kind: Literal["reuse"] = "reuse"

    def build(self) -> Reuse:
        """Make the predictor."""
        return Reuse()
