"""The progress of `lesa search`: what it will do, the best so far, how to go on after a stop."""

from __future__ import annotations

from pathlib import Path

from rich.progress import TextColumn

from lesa_framework.cli import console
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.search.prompts import Prompts
from lesa_framework.search.record import Record, load_record
from lesa_framework.search.run import SearchProgress
from lesa_framework.search.search import Limit, reserve
from lesa_framework.words import amount


class Watch(console.Bar):
    """A bar on a terminal, a line for every tenth elsewhere, and a line for every new best. A context manager.

    Args:
        limit: When the search ends.
    """

    def __init__(self, limit: Limit) -> None:
        super().__init__("recording", 10, TextColumn("{task.fields[note]}", markup=False), total=1.0)
        self._tenths: dict[str, console.Tenths] = {}
        self._clocks: dict[str, console.Remaining] = {}
        self._told: set[str] = set()
        self._limit, self._best = limit, float("-inf")

    def announce(self, config: LesaConfig, guide: LesaConfig, prompts: Prompts, nfe: int | None) -> None:
        """Say what will be done, and how long it will take; `nfe` is None while it is not known."""
        limit, which = self._limit, "which" if nfe is None else f"which {nfe}"
        kind, tried = config.predictor.kind, guide.predictor.kind
        self._say(
            f"searching {which} of {config.training.num_steps} steps to compute, for '{kind}'"
            + (f", tried with '{tried}'." if tried != kind else ".")
        )
        count, fits = len(prompts.fitted) + prompts.judged, len(prompts.quick.prompts)
        fitted = f"each fitted on {fits} and " if guide.predictor.has_fit() else ""
        self._say(
            f"{count} prompts are run uncached first. Candidates are {fitted}tried on up to {prompts.tried}; the best "
            f"are compared on {prompts.judged} others."
        )
        self._say(
            "dB say how close the final latents are to the uncached run's; more is closer. Those in the search and in "
            "the fit flatter: go by those in the comparison."
        )
        length = []
        if limit.seconds is not None:
            minutes = limit.seconds / 60
            length.append(f"{minutes:g} minute{'s' * (minutes != 1)}")
        if limit.tries is not None:
            length.append(amount(limit.tries, "candidate"))
        then = f" Then '{kind}' is fitted to the best." if config.predictor.has_fit() else ""
        self._say(f"it ends after {' or '.join(length)}.{then}")

    def show(self, step: SearchProgress) -> None:
        """Show a part that is done."""
        self._say_what_is_done(step)
        if step.stage == "first fit" and not self._clocks:
            self._say("fitting on one prompt first, to see that it can be done.")
        note, left = self._note(step), self._left(step)
        if left and step.stage == "recording" and not (step.record.compared or step.stage in self._told):
            self._say_what_is_too_short(step.share)
        # A full bar stops its clock for good, and another stage may follow.
        done = min(step.share, 0.999)
        self._bar.update(self._task, description=step.stage, completed=done, note=f"{note}{left}")
        best = step.record.best
        if best is not None and step.newest is best and best.mean > self._best:
            self._best = best.mean
            self._say(f"{note}{left}: {' '.join(map(str, best.steps))}")
        percent = self._tenths.setdefault(step.stage, console.Tenths()).reached(step.share, 1.0)
        if not self._terminal and percent is not None:
            self._say(f"{percent:3d}% {step.stage}{', ' * bool(note)}{note}{left}")
        elif left and step.stage not in self._told:
            self._say(f"{step.stage}{left}")
        if left:
            self._told.add(step.stage)

    def _say_what_is_done(self, step: SearchProgress) -> None:
        """Once, where a search resumes: nothing else has compared even steps before the uncached runs are there."""
        if step.stage == "recording" and step.record.compared and not self._clocks:
            self._say(f"resuming the stopped search: {amount(len(step.record.tried), 'candidate')} tried already.")

    def _say_what_is_too_short(self, share: float) -> None:
        """Once: a limit that leaves no time for candidates."""
        limit, seconds = self._limit.seconds, self._clocks["recording"].seconds(share, 1.0)
        if limit is not None and seconds is not None and seconds > limit:
            self._say(
                f"the uncached runs take {console.about(seconds)}, longer than the whole search may: hardly anything "
                "but even steps would be tried. Stop it, and give more --minutes, fewer prompts, or a smaller --height "
                "and --width."
            )

    def _left(self, step: SearchProgress) -> str:
        """How long a stage will still take: by its limit where that is a time, else by its pace so far."""
        if step.stage not in self._clocks:
            self._clocks[step.stage] = console.Remaining()  # when the first part began, nobody looked
            self._clocks[step.stage].start(step.share)
        clock = self._clocks[step.stage]
        if step.stage != "searching":
            return clock.words(step.share, 1.0)
        if self._limit.tries is None and self._limit.seconds is not None:
            return f", {console.about((1 - step.share) * self._limit.seconds)} left"
        if len(step.record.tried) <= 1:
            clock.start(step.share)  # the first one is tried to the end; most of the others are dropped earlier
        return clock.words(step.share, 1.0, more=reserve(step.record) if self._limit.seconds is None else 0.0)

    def _note(self, step: SearchProgress) -> str:
        if step.fit is not None:
            return step.fit.stage + ("" if step.fit.drift_db is None else f", {step.fit.drift_db:.2f} dB in the fit")
        best, even = step.record.best, step.record.full[:1]
        if best is None or step.stage == "recording":
            return ""
        return f"best {best.mean:.2f} dB in the search (even steps {even[0].mean:.2f}), {len(step.record.tried)} tried"

    def _say(self, line: str) -> None:
        self.screen.print(line, soft_wrap=True)


def how_to_resume(path: Path) -> str:
    """What to say after a stop."""
    try:
        record: Record | None = load_record(path)
    except ConfigError:
        record = None
    if record is None or not record.compared:
        return "stopped before anything was tried. The same command starts afresh."
    best = record.best
    found = "" if best is None else f", the best at {best.mean:.2f} dB in the search"
    return f"stopped after {amount(len(record.tried), 'candidate')}{found}. The same command resumes from {path}."
