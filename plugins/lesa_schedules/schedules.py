"""The schedules that need no training: fixed interval, given steps, always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from lesa_framework import Always, ConfigError, Decision, ScheduleConfig, SchedulePolicy, StepContext


class FixedInterval(SchedulePolicy):
    """LESA's schedule: compute when `i < warmup` or `(i - warmup + 1) % interval == 0`.

    Locked to the step number, not to the steps since the last computed one. (The paper's extra computed
    step 3 comes from the predictor, which asks for four features before it predicts.)

    Args:
        interval: N, from one computed step to the next.
        warmup: E, how many first steps are computed.
    """

    def __init__(self, interval: int, warmup: int = 3) -> None:
        self.interval, self.warmup = interval, warmup

    def decide(self, ctx: StepContext) -> Decision:
        """Apply the rule to the step's number."""
        due = ctx.index < self.warmup or (ctx.index - self.warmup + 1) % self.interval == 0
        return Decision.COMPUTE if due else Decision.PREDICT


class Steps(SchedulePolicy):
    """Compute exactly the given steps.

    Args:
        compute: Step numbers, from 0.
    """

    def __init__(self, compute: Sequence[int]) -> None:
        self.compute = frozenset(compute)

    def check(self, num_steps: int) -> None:
        """Refuse a run that ends before the last given step."""
        if max(self.compute) >= num_steps:
            raise ConfigError(
                f"schedule.compute: step {max(self.compute)} does not exist in a run of {num_steps} steps; "
                f"valid: 0 to {num_steps - 1}. Run as many steps as the list was made for, or change the list; a "
                "predictor that was fitted with it needs a new fit or search for another number of steps."
            )

    def decide(self, ctx: StepContext) -> Decision:
        """Look the step up."""
        return Decision.COMPUTE if ctx.index in self.compute else Decision.PREDICT


class FixedIntervalConfig(ScheduleConfig):
    """Compute every N-th step after a warm-up."""

    kind: Literal["fixed_interval"] = "fixed_interval"
    interval: int = Field(ge=1)
    """N: steps from one computed step to the next."""
    warmup: int = Field(3, ge=1)
    """E: how many steps at the beginning are computed."""

    def build(self) -> FixedInterval:
        """Make the schedule."""
        return FixedInterval(self.interval, self.warmup)


class StepsConfig(ScheduleConfig):
    """Compute exactly these steps."""

    kind: Literal["steps"] = "steps"
    compute: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    """Step numbers, counted from 0."""

    @field_validator("compute")
    @classmethod
    def _in_order(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if list(steps) != sorted(set(steps)):
            raise ValueError("steps must be in rising order, each once")
        if steps[0] != 0:
            raise ValueError("step 0 must be computed: there is nothing to predict it from")
        return steps

    def build(self) -> Steps:
        """Make the schedule."""
        return Steps(self.compute)


class AlwaysConfig(ScheduleConfig):
    """Compute every step."""

    kind: Literal["always"] = "always"

    def build(self) -> Always:
        """Make the schedule."""
        return Always()
