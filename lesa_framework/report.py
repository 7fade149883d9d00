"""What runs did: the report of one run, and that of a call of the pipeline, which may make several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lesa_framework.types import Choice, Decision, Reason, RunInfo, StepRecord

#: Reasons that mean a failed assumption: the computed feature was used although something else was planned.
FALLBACKS = frozenset(
    {Reason.SHAPE, Reason.UNKNOWN_STEP, Reason.REPEATED_STEP, Reason.NON_FINITE, Reason.NON_FINITE_CORRECTION}
)


@dataclass(frozen=True)
class RunReport:
    """What a run did, so far or to its end.

    Attributes:
        info: What was fixed during the run.
        records: One for each call of the model, in order.
        cache_bytes: Bytes that the cache keeps, wherever: of all histories, and of the latents that are kept for
            schedules and predictors.
        seconds: From the first call to the end of the last one, as the host sees it: nobody waits for a GPU, whose last
            kernels may still run. `lesa eval` and `lesa bench` wait.
        seconds_saved: About how much longer it would have taken without predicted steps, from the times of its own
            computed and predicted calls; None if only one sort was seen, or on devices where calls are not timed.
        choice: The cache that was chosen for it; None where a configuration was given.
        peak_bytes: The most that torch had held on the model's device when the run ended, weights and all, since the
            process began or `torch.cuda.reset_peak_memory_stats` was called; None where that is not CUDA.
    """

    info: RunInfo
    records: tuple[StepRecord, ...]
    cache_bytes: int
    seconds: float
    seconds_saved: float | None = None
    choice: Choice | None = None
    peak_bytes: int | None = None

    @property
    def num_steps(self) -> int:
        """Steps that were run."""
        return _count_steps(self.records)

    @property
    def nfe(self) -> int:
        """Steps in which the block stack ran, for whichever branch."""
        return _count_steps([record for record in self.records if record.decision is Decision.COMPUTE])

    @property
    def branches(self) -> tuple[str, ...]:
        """Branches in order of first appearance."""
        return tuple(dict.fromkeys(record.branch for record in self.records))

    @property
    def fallbacks(self) -> dict[Reason, int]:
        """How often a step was computed because something was not as assumed."""
        return dict(Counter(record.reason for record in self.records if record.reason in FALLBACKS))

    @property
    def replaced(self) -> dict[str, dict[int, int]]:
        """How many values were not finite and were replaced by a computed feature's, by branch and step."""
        return _replaced(self.records)

    @property
    def not_finite(self) -> dict[str, tuple[int, ...]]:
        """Steps at which the model itself computed NaN or infinity, as far as that was found, by branch."""
        return _not_finite(self.records)

    def plan(self, branch: str | None = None) -> str:
        """One letter for each call, F computed and P predicted, of one branch (the first by default)."""
        name = branch or (self.branches[0] if self.records else "")
        return plan_string([record.decision for record in self.records if record.branch == name])

    @property
    def lines(self) -> dict[str, str]:
        """Branch -> its plan below those of the others: one letter for each step, and `.` where it was not called."""
        seen: dict[str, tuple[int, int]] = {}  # branch -> its newest step, and its calls since that are on no step
        letters: dict[str, dict[tuple[int, int], str]] = {}
        for record in self.records:
            step, lost = seen.get(record.branch, (-1, 0))
            seen[record.branch] = place = (step, lost + 1) if record.index < 0 else (record.index, 0)
            letters.setdefault(record.branch, {})[place] = plan_string([record.decision])
        places = sorted({place for found in letters.values() for place in found})
        return {branch: "".join(found.get(place, ".") for place in places) for branch, found in letters.items()}

    def __str__(self) -> str:
        """A few lines for people."""
        if not self.records:
            return "no run yet"
        lines = self.lines
        width = 1 + max(map(len, lines))
        texts = [
            (
                f"{self.num_steps} steps, {self.nfe} computed ({self.num_steps / max(self.nfe, 1):.2f}x), "
                f"{self.seconds:.2f} s, {self.cache_bytes / 2**20:.2f} MiB of history, "
                f"{self.info.backbone} at {self.info.tap}"
            ),
            *(f"  {branch + ':':<{width}} {line}" for branch, line in lines.items()),
            *([] if self.choice is None else [f"  chosen: {self.choice}"]),
            *self._besides(),
            *([] if self.peak_bytes is None else [f"  peak: {self.peak_bytes / 2**30:.2f} GiB on the device"]),
            *([] if self.seconds_saved is None else [f"  saved: {self._saved(self.seconds_saved)}"]),
            *self._too_short(),
            *(
                f"  fell back to computing {count}x: {reason}{self._advice(reason)}"
                for reason, count in self.fallbacks.items()
            ),
            *(
                f"  not finite, replaced by the newest computed feature: {sum(steps.values())} values of {branch} at "
                f"steps {', '.join(map(str, steps))}"
                for branch, steps in self.replaced.items()
            ),
            *(
                f"  not finite as the model itself computed it: {branch} at steps {', '.join(map(str, steps))}"
                for branch, steps in self.not_finite.items()
            ),
        ]
        return "\n".join(texts)

    def _besides(self) -> list[str]:
        """A line where steps were computed for a late branch alone, which neither schedule nor choice can foresee."""
        late: set[int] = set()
        others: set[int] = set()
        first: dict[str, int] = {}
        for record in self.records:
            begin = first.setdefault(record.branch, record.index)
            is_late = record.reason is Reason.MISSED or (record.reason is Reason.HISTORY and begin > self.info.begin)
            if record.decision is Decision.COMPUTE and record.reason is not Reason.BATCH:
                (late if is_late else others).add(record.index)
        count = len(late - others)
        return [f"  {besides(count, self.num_steps)}"] if count else []

    def _too_short(self) -> list[str]:
        """A line where nothing was predicted; in other runs the first steps are computed for this reason anyway."""
        short = _count_steps([record for record in self.records if record.reason is Reason.HISTORY])
        if not short or any(record.decision is Decision.PREDICT for record in self.records):
            return []
        return [f"  nothing was predicted: the history was too short at {short} of {self.num_steps} steps"]

    def _saved(self, seconds: float) -> str:
        steps = f"{self.num_steps - self.nfe} of {self.num_steps} steps predicted"
        return f"{steps}, about {seconds:.2g} s" if seconds > 0 else f"{steps}, but no time"

    def _advice(self, reason: Reason) -> str:
        grid = self.info.sigmas
        if reason is not Reason.UNKNOWN_STEP or not grid:
            return ""
        return (
            " (the model was called at noise levels that are not on the grid, which goes from "
            f"{grid[0]:g} to {grid[-1]:g}: see `sigmas`, `backbone.sigma`, or the adapter's `timestep_scale`)"
        )


@dataclass(frozen=True)
class CallReport:
    """What one call of a pipeline did, so far or to its end.

    Most calls make one run. Some make several, such as one for each section of a video; where no pipeline's call is
    known, every run counts as a call.

    Attributes:
        runs: The runs of the call, in order; at least one, which is empty before the first call of the model.
        exchanged: Names the pipeline's transformers that others have replaced since `accelerate`: calls of the new ones
            are not cached, and in no report. Empty where there are none.
    """

    runs: tuple[RunReport, ...]
    exchanged: str = ""

    @property
    def info(self) -> RunInfo:
        """What was fixed during the last run."""
        return self.runs[-1].info

    @property
    def records(self) -> tuple[StepRecord, ...]:
        """One for each call of the model, of all runs in order."""
        return tuple(record for run in self.runs for record in run.records)

    @property
    def cache_bytes(self) -> int:
        """Bytes of all histories together, of the run with the most."""
        return max(run.cache_bytes for run in self.runs)

    @property
    def peak_bytes(self) -> int | None:
        """The most that torch had held on the model's device when the last run ended; None where that is not CUDA."""
        return self.runs[-1].peak_bytes

    @property
    def seconds(self) -> float:
        """Of all runs together, each from the first call to the end of the last one."""
        return sum(run.seconds for run in self.runs)

    @property
    def seconds_saved(self) -> float | None:
        """About how much longer all runs together would have taken; None if that is known of none."""
        known = [run.seconds_saved for run in self.runs if run.seconds_saved is not None]
        return sum(known) if known else None

    @property
    def choice(self) -> Choice | None:
        """The cache that was chosen for the last run; None where a configuration was given."""
        return self.runs[-1].choice

    @property
    def num_steps(self) -> int:
        """Steps that were run, of all runs."""
        return sum(run.num_steps for run in self.runs)

    @property
    def nfe(self) -> int:
        """Steps in which the block stack ran, of all runs."""
        return sum(run.nfe for run in self.runs)

    @property
    def branches(self) -> tuple[str, ...]:
        """Branches of all runs in order of first appearance."""
        return tuple(dict.fromkeys(name for run in self.runs for name in run.branches))

    @property
    def fallbacks(self) -> dict[Reason, int]:
        """How often a step was computed because something was not as assumed."""
        return dict(sum((Counter(run.fallbacks) for run in self.runs), Counter()))

    @property
    def replaced(self) -> dict[str, dict[int, int]]:
        """How many values were not finite and were replaced by a computed feature's, by branch and step."""
        return _replaced(self.records)

    @property
    def not_finite(self) -> dict[str, tuple[int, ...]]:
        """Steps at which the model itself computed NaN or infinity, as far as that was found, by branch."""
        return _not_finite(self.records)

    def plan(self, branch: str | None = None) -> str:
        """One letter for each call, F computed and P predicted, of one branch (the first by default).

        Runs are parted by a space.
        """
        return " ".join(run.plan(branch) for run in self.runs)

    def __str__(self) -> str:
        """A few lines for people."""
        texts = [str(run) for run in self.runs]
        if len(texts) > 1:
            total = f"{len(texts)} runs in one call: {self.num_steps} steps, {self.nfe} computed, {self.seconds:.2f} s"
            texts.insert(0, total)
        if self.exchanged:
            texts.append(
                f"  exchanged: the pipeline's {self.exchanged}; what the new one does is not cached, and not in this "
                "report"
            )
        return "\n".join(texts)


def _count_steps(records: Sequence[StepRecord]) -> int:
    """Different steps; those that are on no grid cannot be told apart, so each call of a branch is one."""
    lost = Counter(record.branch for record in records if record.index < 0)
    return len({record.index for record in records if record.index >= 0}) + max(lost.values(), default=0)


def _replaced(records: Sequence[StepRecord]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for record in records:
        if record.replaced:
            steps = found.setdefault(record.branch, {})
            steps[record.index] = steps.get(record.index, 0) + record.replaced
    return found


def besides(count: int, num_steps: int) -> str:
    """In words, how many steps of a run are computed for late branches alone."""
    where = "where a branch begins late, or missed a computed step"
    return f"computed besides the schedule: {count} of {num_steps} steps, {where}"


def _not_finite(records: Sequence[StepRecord]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for record in records:
        if record.not_finite:
            found.setdefault(record.branch, []).append(record.index)
    return {branch: tuple(dict.fromkeys(steps)) for branch, steps in found.items()}


def plan_string(decisions: Sequence[Decision]) -> str:
    """Decisions as a string: F (full) for computed, P for predicted."""
    return "".join("F" if decision is Decision.COMPUTE else "P" for decision in decisions)
