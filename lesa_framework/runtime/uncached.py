"""Runs that compute every step, because nothing else fits them."""

from __future__ import annotations

from collections.abc import Callable

from lesa_framework.errors import LesaError
from lesa_framework.interfaces.router import OneStage
from lesa_framework.interfaces.schedule import Always
from lesa_framework.runtime.strategy import NeverAsked, Strategy, StrategySource
from lesa_framework.types import Choice, RunInfo


class WhereItFits:
    """The source of each run's strategy: another source's, or computed steps where that refuses the run.

    Args:
        source: The other source.
        tell: Called with what was refused and why, once for each reason; for plans, nobody is told.
    """

    def __init__(self, source: StrategySource, tell: Callable[[str], None] = lambda _: None) -> None:
        self.source, self._tell = source, tell
        self._told: set[str] = set()

    def for_run(self, run: RunInfo) -> Strategy:
        """The strategy of a run."""
        try:
            strategy = self.source.for_run(run)
            if run.sigmas:  # without a grid every call is computed
                strategy.schedule.check(len(run.sigmas) - 1)
                strategy.predictor.check(run)
        except LesaError as error:
            reason = str(error)
            if reason not in self._told:
                self._told.add(reason)
                length = f" of {run.steps_to_run} steps" if run.sigmas else ""
                self._tell(f"a run{length} is computed, every step of it. {reason}")
            return uncached(reason, run.steps_to_run)
        return strategy


def uncached(reason: str, num_steps: int) -> Strategy:
    """Computes every step of a run.

    Args:
        reason: Why, for the report.
        num_steps: Steps of the run; 0 if that is unknown.
    """
    choice = Choice("", "", "", reason, num_steps, num_steps)
    return Strategy(Always(), OneStage(), NeverAsked(), check_finite=False, choice=choice)
