"""Says when a run in which steps should have been predicted predicted none."""

from __future__ import annotations

from lesa_framework.interfaces.observer import Observer
from lesa_framework.report import RunReport
from lesa_framework.types import Decision, Reason
from lesa_framework.warning import warn


class Watcher(Observer):
    """Warns once, at the end of the first run in which nothing was predicted and nobody has said why."""

    def __init__(self) -> None:
        self._warned = False

    def lesa_run_end(self, report: RunReport) -> None:
        """A run has ended, or was given up: then it may not have come to its first predicted step."""
        choice = report.choice
        is_told = choice is None or (not choice.kind and choice.num_steps > 0)
        if self._warned or is_told or any(record.decision is Decision.PREDICT for record in report.records):
            return
        assert choice is not None
        if report.num_steps > max(choice.nfe, 1):
            self._warned = True
            warn(f"accelerate: nothing was predicted: {why_computed(report)}.")


def why_computed(report: RunReport) -> str:
    """Why every step of a run was computed, in a few words."""
    fallbacks = [f"{count}x {reason}" for reason, count in report.fallbacks.items()]
    if report.choice is not None and not report.choice.kind:
        return report.choice.reason
    if fallbacks:
        return f"steps were computed instead ({', '.join(fallbacks)})"
    is_planned = all(record.reason is Reason.SCHEDULE for record in report.records)
    return "the schedule says so" if is_planned else "the history was too short"
