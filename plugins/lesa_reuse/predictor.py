"""Naive reuse: the newest computed feature, held."""

from __future__ import annotations

from typing import Literal

from lesa_framework import PredictorConfig, Reuse


class ReuseConfig(PredictorConfig):
    """Hold the newest computed feature."""

    kind: Literal["reuse"] = "reuse"

    def build(self) -> Reuse:
        """Make the predictor."""
        return Reuse()
