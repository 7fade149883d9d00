"""The routers that need no training: thresholds on the noise level, or a single stage."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from lesa_framework import OneStage, RouterConfig, StageRouter

#: Grids come in float32, where 0.4 is 0.4000000060: such a level is at its boundary and not above it.
_ROUNDING = 1e-6


class Thresholds(StageRouter):
    """Stage 0 above the first boundary, the last stage at or below the last one.

    Args:
        boundaries: Noise levels in falling order; LESA on FLUX has 0.9 and 0.5.
    """

    def __init__(self, boundaries: Sequence[float]) -> None:
        self.boundaries = tuple(boundaries)
        self.num_stages = len(self.boundaries) + 1

    def stage(self, sigma: float) -> int:
        """How many boundaries `sigma` is at or below."""
        return len(self.boundaries) - bisect_left(self.boundaries[::-1], sigma - _ROUNDING)


class ThresholdsConfig(RouterConfig):
    """Stages by noise level."""

    kind: Literal["thresholds"] = "thresholds"
    boundaries: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field((0.9, 0.5), min_length=1)
    """Noise levels in falling order; one more stage than there are numbers."""

    @field_validator("boundaries")
    @classmethod
    def _falling(cls, boundaries: tuple[float, ...]) -> tuple[float, ...]:
        if list(boundaries) != sorted(set(boundaries), reverse=True):
            raise ValueError("boundaries must fall, for example [0.9, 0.5]")
        return boundaries

    def build(self) -> Thresholds:
        """Make the router."""
        return Thresholds(self.boundaries)


class SingleConfig(RouterConfig):
    """One stage."""

    kind: Literal["single"] = "single"

    def build(self) -> OneStage:
        """Make the router."""
        return OneStage()
