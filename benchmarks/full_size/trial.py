"""What is known of one method while a benchmark runs, and the row that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.full_size.methods import Method
from benchmarks.full_size.results import Row
from benchmarks.full_size.stopwatch import Split
from lesa_framework import RunReport


@dataclass(frozen=True)
class Counted:
    """Floating-point operations of a run's first steps.

    Attributes:
        flops: All of them.
        steps: Steps that were run.
        computed: Steps among them in which the stack ran, as the engine reports; for others all of them.
    """

    flops: int
    steps: int
    computed: int


@dataclass
class Trial:
    """One method's measurements so far.

    Attributes:
        method: The method.
        error: Why it is out of the race.
        report: The engine's report of a whole run; None for the bare model and for peers.
        counted: Operations of its first steps, or of all.
        cache_bytes: What it keeps in a run.
        peak_bytes: The most that was allocated in a run.
        settings: What a peer was set to.
        note: What a reader should know.
        runs: Seconds of each timed run, and where they went.
    """

    method: Method
    error: str | None = None
    report: RunReport | None = None
    counted: Counted | None = None
    cache_bytes: int | None = None
    peak_bytes: int | None = None
    settings: Mapping[str, int | float | str | None] = field(default_factory=dict)
    note: str = ""
    runs: list[tuple[float, Split]] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        """Wall times in the order of the rounds."""
        return [seconds for seconds, _ in self.runs]


def row_of(trial: Trial, uncached: Trial) -> Row:
    """The row of a method.

    Args:
        trial: The method's measurements.
        uncached: Those of the bare model.
    """
    name, num_steps = trial.method.name, trial.method.num_steps
    if trial.error is not None or not trial.runs:
        return Row(name=name, num_steps=num_steps, error=trial.error or "not run")
    report = trial.report
    flops = run_flops(trial, uncached)
    parts = _median_run(trial.runs)
    return Row(
        name=name,
        num_steps=num_steps,
        settings=dict(trial.settings),
        note=trial.note,
        nfe=report.nfe if report is not None else None,
        work_steps=_work(flops, uncached),
        plans={branch: report.plan(branch) for branch in report.branches} if report is not None else {},
        fallbacks={str(reason): count for reason, count in report.fallbacks.items()} if report is not None else {},
        seconds=median(trial.seconds),
        samples=trial.seconds,
        speedup=_speedup(trial.seconds, uncached.seconds),
        flops=flops,
        cache_bytes=trial.cache_bytes,
        peak_bytes=trial.peak_bytes,
        split_seconds=parts.total,
        computed_call=parts.computed,
        predicted_call=parts.predicted,
    )


def run_flops(trial: Trial, uncached: Trial) -> int | None:
    """Operations of a whole run: counted, or from the steps that were, all steps of a kind being alike."""
    counted, num_steps = trial.counted, trial.method.num_steps
    if counted is None or counted.steps == num_steps:
        return None if counted is None else counted.flops
    if trial.report is None:
        return counted.flops * num_steps // counted.steps
    whole, predicted = uncached.counted, counted.steps - counted.computed
    if whole is None or predicted == 0:
        return None
    computed_step = whole.flops // whole.steps
    predicted_step = (counted.flops - counted.computed * computed_step) // predicted
    return trial.report.nfe * computed_step + (num_steps - trial.report.nfe) * predicted_step


def _work(flops: int | None, uncached: Trial) -> float | None:
    whole = uncached.counted
    return None if flops is None or whole is None else flops / (whole.flops / whole.steps)


def _speedup(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Round by round, so that a GPU that slows down while it warms up does so for both."""
    ratios = [uncached / cached for cached, uncached in zip(ours, theirs, strict=False)]
    return median(ratios) if ratios else None


def _median_run(runs: Sequence[tuple[float, Split]]) -> Split:
    ranked = sorted(runs, key=lambda run: run[0])
    return ranked[(len(ranked) - 1) // 2][1]
