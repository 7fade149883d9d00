"""A schedule that is the same on every grid: computed noise levels in place of step numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator

from lesa_framework import NoiseLevels, ScheduleConfig


class NoiseLevelsConfig(ScheduleConfig):
    """Compute the steps nearest to these noise levels."""

    kind: Literal["noise_levels"] = "noise_levels"
    compute: tuple[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)], ...] = Field(min_length=1)
    """Noise levels in [0, 1], falling, such as the sigmas of the steps that were searched on another grid."""

    @field_validator("compute")
    @classmethod
    def _falling(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not all(before > after for before, after in pairwise(levels)):
            raise ValueError("noise levels must fall, each once, such as [1.0, 0.8, 0.5]")
        return levels

    def build(self) -> NoiseLevels:
        """Make the schedule."""
        return NoiseLevels(self.compute)
