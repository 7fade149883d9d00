"""Schedules: which steps to compute."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from math import ceil

from lesa_framework.interfaces.config import PluginConfig
from lesa_framework.types import Decision, StepContext

#: Grids whose steps are kept: a server may take turns between as many resolutions.
_GRIDS = 32


class SchedulePolicy(ABC):
    """A pure rule that decides for each step whether the block stack runs.

    The engine also computes whenever the predictor's history is too short, so a schedule need not know
    the predictor, and where a branch was not called at a step that the schedule computes: at its next call.

    Attributes:
        dynamic: Whether it reads the latents of the context. Such a schedule, a gate, is asked in runs alone: a plan
            says "depends on data" for its steps, and how many it computes is known after the run. It too must be a
            pure function of the context, and must answer when `computed_latent` is None: no step is computed yet.
        reads_path: Whether it reads `StepContext.path`, which is kept only then. Such a schedule is `dynamic` too.

    Example:
        Compute every other step::

            class EveryOther(SchedulePolicy):
                def decide(self, ctx: StepContext) -> Decision:
                    return Decision.PREDICT if ctx.index % 2 else Decision.COMPUTE
    """

    dynamic: bool = False
    reads_path: bool = False

    def check(self, num_steps: int) -> None:  # noqa: B027 - most schedules fit every length
        """Called once when a run begins.

        Raises:
            ConfigError: The schedule cannot serve a run of `num_steps` steps.
        """

    @abstractmethod
    def decide(self, ctx: StepContext) -> Decision:
        """Compute or predict; must depend on nothing but `ctx`, and unless `dynamic`, not on its latents."""


class Always(SchedulePolicy):
    """Compute every step: the uncached model, bit for bit."""

    def decide(self, ctx: StepContext) -> Decision:  # noqa: ARG002 - it depends on nothing
        """Compute."""
        return Decision.COMPUTE


class NoiseLevels(SchedulePolicy):
    """Compute at given noise levels: on any grid, the steps nearest to them.

    Step 0 is computed in any case. Levels that share a nearest step are computed once. A run that has no more steps
    than there are levels is computed whole.

    Args:
        compute: Noise levels in [0, 1].
    """

    def __init__(self, compute: Sequence[float]) -> None:
        self.compute = tuple(compute)
        self.steps = lru_cache(_GRIDS)(self._steps)

    def decide(self, ctx: StepContext) -> Decision:
        """Look the step up."""
        return Decision.COMPUTE if ctx.index in self.steps(ctx.sigmas) else Decision.PREDICT

    def _steps(self, sigmas: tuple[float, ...]) -> frozenset[int]:
        """The computed steps on a grid, the final 0 included in it."""
        steps = range(len(sigmas) - 1)
        if len(steps) <= len(self.compute):
            return frozenset(steps)
        return frozenset((0, *(min(steps, key=lambda step: abs(sigmas[step] - level)) for level in self.compute)))


class ScheduleConfig(PluginConfig, ABC):
    """Configuration of a schedule; registering this class registers the schedule."""

    @abstractmethod
    def build(self) -> SchedulePolicy:
        """Make the schedule."""


def steps_at(speedup: float, num_steps: int) -> int:
    """How many steps of a run are computed at a speed-up; what does not divide is rounded up.

    Args:
        speedup: Steps of the run over computed steps.
        num_steps: Steps of the run.
    """
    # Without the small number, rounding of the quotient might add a step: 50 / 5.000000001.
    return ceil(num_steps / speedup - 1e-9)
