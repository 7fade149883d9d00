"""A schedule that fits every number of steps: computed steps spread evenly."""

from __future__ import annotations

import warnings
from typing import Literal, Self

from pydantic import Field, model_validator

from lesa_framework import Decision, LesaWarning, ScheduleConfig, SchedulePolicy, StepContext, steps_at

#: With fewer computed steps there is no line to follow, and a picture falls apart.
_LEAST = 2


class Even(SchedulePolicy):
    """Compute the steps `floor(k T / n)` for `k = 0 .. n - 1` of a run of `T` steps.

    A run that is too short for that is computed whole, with one warning.

    Args:
        compute: `n`; give this or `speedup`.
        speedup: `n = ceil(T / speedup)`, so the ratio of steps is at most this.
    """

    def __init__(self, compute: int | None = None, speedup: float | None = None) -> None:
        self._compute, self._speedup = compute, speedup
        self._told = False

    def steps(self, num_steps: int) -> frozenset[int]:
        """The computed steps of a run of `num_steps` steps."""
        count = self._count(num_steps)
        if count < _LEAST or count >= num_steps:
            return frozenset(range(num_steps))
        return frozenset(k * num_steps // count for k in range(count))

    def check(self, num_steps: int) -> None:
        """Warn, once, of runs in which nothing is predicted."""
        if len(self.steps(num_steps)) == num_steps and not self._told:
            self._told = True
            warnings.warn(
                f"schedule: a run of {num_steps} steps is too short to save anything, so every step is computed.",
                LesaWarning,
                stacklevel=2,
            )

    def decide(self, ctx: StepContext) -> Decision:
        """Look the step up."""
        return Decision.COMPUTE if ctx.index in self.steps(ctx.num_steps) else Decision.PREDICT

    def _count(self, num_steps: int) -> int:
        if self._compute is not None:
            return self._compute
        assert self._speedup is not None
        return steps_at(self._speedup, num_steps)


class EvenConfig(ScheduleConfig):
    """Compute N steps, or one in N, spread evenly over any run."""

    kind: Literal["even"] = "even"
    compute: int | None = Field(None, ge=_LEAST)
    """How many steps to compute."""
    speedup: float | None = Field(None, gt=1, allow_inf_nan=False)
    """Steps of the run over computed steps; give this or `compute`."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.compute is None) == (self.speedup is None):
            raise ValueError("give either 'compute', such as {compute: 10}, or 'speedup', such as {speedup: 5}")
        return self

    def build(self) -> Even:
        """Make the schedule."""
        return Even(self.compute, self.speedup)
