"""MagCache (arXiv 2506.09045): compute when the known ratios of the residuals' magnitudes multiply to an error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from math import fsum
from operator import mul
from typing import Annotated, Literal

from pydantic import Field

from lesa_framework import ConfigError, Imported, Published, StepContext
from lesa_rivals.gates import CalibratedGateConfig, Gate
from lesa_rivals.numbers import read_list


class MagCache(Gate):
    """`sum_n |1 - gamma_{c+1} ... gamma_n|` over the steps since the newest computed one, c.

    `gamma_n` is how the size of the stack's residual changes from step n - 1 to n, measured once for each model. The
    decisions depend on nothing else, so `lesa plan` shows them.

    Args:
        ratios: `gamma`, one for each step of the run they were measured in; the nearest is taken in other runs.
        threshold: A step is computed when the sum reaches it.
        retention: The first part of a run that is computed.
        max_predicted: The most steps that are predicted in a row.
    """

    def __init__(
        self, ratios: Sequence[float], threshold: float = 0.06, retention: float = 0.2, max_predicted: int = 3
    ) -> None:
        super().__init__(threshold, 1, max_predicted)
        self._ratios, self._retention = tuple(ratios), retention
        self._of_run = lru_cache(8)(self._nearest)

    def first(self, num_steps: int) -> int:
        """The end of the retained part."""
        return max(1, int(self._retention * num_steps + 0.5))

    def error(self, ctx: StepContext, newest: int) -> float:
        """The sum up to this step."""
        products = accumulate(self._of_run(ctx.num_steps)[newest + 1 : ctx.index + 1], mul)
        return fsum(abs(1 - product) for product in products)

    def _nearest(self, num_steps: int) -> tuple[float, ...]:
        last = len(self._ratios) - 1
        return tuple(self._ratios[round(step * last / max(1, num_steps - 1))] for step in range(num_steps))


class MagCacheConfig(CalibratedGateConfig):
    """Compute when the residual's size, known from its ratios, will have changed by a threshold."""

    kind: Literal["magcache"] = "magcache"
    ratios: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = Field(min_length=2, max_length=10_000)
    """How the size of the residual changes from each step to the next, for every step; the first is 1."""
    threshold: float = Field(0.06, gt=0, allow_inf_nan=False)
    """A step is computed when the errors since the newest computed step add up to this."""
    retention: float = Field(0.2, ge=0, le=1)
    """The first part of a run that is computed."""
    max_predicted: int = Field(3, ge=1)
    """`K`: the most steps that are predicted in a row."""

    def build(self) -> MagCache:
        """Make the schedule."""
        return MagCache(self.ratios, self.threshold, self.retention, self.max_predicted)

    @classmethod
    def read_published(cls, published: Published) -> Imported:
        """Read the ratios, one for each step."""
        ratios = read_list(published, "ratios")
        if len(ratios) < 2 or min(ratios) <= 0:
            raise ConfigError(f"{published.name}: expected positive ratios, at least 2, one for each step.")
        return cls.imported(published, "ratios", ratios)
