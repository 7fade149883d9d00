"""Results go to standard output, everything else to standard error."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lesa_framework.cli import voice
from lesa_framework.errors import LesaWarning
from lesa_framework.launcher import is_left_alone

if TYPE_CHECKING:
    from lesa_framework.processes import World

#: Width of tables in a file or a pipe, where there is no terminal to measure.
_PLAIN_WIDTH = 132
#: A duration that was not known before is told when so many computed steps were timed, or this share of the work. Time
#: that was spent on predicted steps alone says nothing.
_TIMED_STEPS, _TIMED_SHARE = 2, 0.04
#: Fewer seconds than this are not told apart, and what is left of them is not worth a word.
_SOON = 10
#: Between two lines that tell how far a run is, seconds.
_APART = 2
#: Shares of work are sums of fractions, so the last one may be a little less than the whole.
_EXACT = 1e-6


def results() -> Console:
    """The console for results. Made for each use, so that it follows a redirected standard output.

    It prints text as it is: names and messages may have square brackets, which would otherwise be markup.
    """
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=_PLAIN_WIDTH)


def notices() -> Console:
    """The console for progress, notes and errors."""
    return Console(stderr=True, highlight=False, markup=False)


def announce(line: str) -> None:
    """Print a line on standard error, such as what begins or what was written."""
    notices().print(line, soft_wrap=True)


def complain(message: str) -> None:
    """Print an error message."""
    console = notices()
    console.print("error:", style="bold red", end=" ")
    console.print(message, soft_wrap=True)


def note(message: str, screen: Console | None = None) -> None:
    """Print a note: something worth knowing. Where a progress bar is on a screen, it has to go there."""
    console = screen or notices()
    console.print("note:", style="bold yellow", end=" ")
    console.print(message, soft_wrap=True)


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Warnings of ours in the block are printed as notes, and not with a line of the code."""
    with warnings.catch_warnings():
        print_others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, LesaWarning):
                note(str(message))
            else:
                print_others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


@contextmanager
def together(patience: timedelta | None = None) -> Iterator[World]:
    """The processes that a launcher started with this one.

    An error that ends the block in one of them is told before the others notice that it is gone. Warnings of ours are
    printed as notes.

    Args:
        patience: How long to wait for the others, if not as usual.
    """
    from lesa_framework.processes import PATIENCE, joined  # loads torch, and an error may be printed without it

    if is_left_alone():
        note(
            "this is one process, although MASTER_ADDR and MASTER_PORT are set as for several: `accelerate launch` "
            "starts several with --multi_gpu alone, also on CPUs, and `torchrun` with --nproc-per-node."
        )
    with warnings_as_notes(), joined(patience or PATIENCE) as world:
        try:
            yield world
        except Exception:
            voice.tells()
            raise


class Tenths:
    """Tells when another tenth of the work is done; where there is no progress bar, each tenth gets a line."""

    def __init__(self) -> None:
        self._reached = 0

    def reached(self, done: float, total: float) -> int | None:
        """The new percentage, a multiple of ten; None while it has not changed or the total is unknown."""
        tenth = min(int(10 * done / total + _EXACT), 10) if total else 0
        if tenth <= self._reached:
            return None
        self._reached = tenth
        return 10 * tenth


def about(seconds: float) -> str:
    """A duration as people say it, such as "about 4 minutes": never more exact than it is known."""
    if seconds < _SOON:
        return f"less than {_SOON} seconds"
    if seconds < 50:
        return f"about {10 * math.ceil(seconds / 10)} seconds"
    if seconds < 100:
        half = math.ceil(2 * seconds / 60) / 2
        return "about a minute" if half == 1 else f"about {half:g} minutes"
    minutes = math.ceil(seconds / 60)
    return f"about {minutes} minutes" if minutes < 100 else f"about {minutes / 60:.1f} hours"


def took(seconds: float) -> str:
    """A duration that is over."""
    if seconds < 100:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class Remaining:
    """How long the rest will take, if it goes on as so far. The clock starts with `start`.

    Attributes:
        started: When that was.
    """

    def __init__(self) -> None:
        self.start(0.0)

    def start(self, done: float) -> None:
        """So much is done before anything is timed."""
        self.started, self._before = time.monotonic(), done

    def timed(self, done: float) -> float:
        """How much of the work was done since the clock started."""
        return done - self._before

    def seconds(self, done: float, total: float) -> float | None:
        """Seconds that are left; None before anything was done, and when nothing is left."""
        if self.timed(done) <= 0 or done >= total * (1 - _EXACT):
            return None
        return (time.monotonic() - self.started) / self.timed(done) * (total - done)

    def words(self, done: float, total: float, more: float = 0.0) -> str:
        """Such as ", about 4 minutes left"; empty where it is not known, or soon over.

        Args:
            done: Of the work.
            total: All of it.
            more: Seconds of other work that follows.
        """
        left = self.seconds(done, total)
        return "" if left is None or left + more < _SOON else f", {about(left + more)} left"


class Bar:
    """A bar on a terminal, nothing elsewhere. A context manager.

    Args:
        title: What is done at first.
        width: Characters that titles take.
        more: Columns after the usual ones; they may show a task's field `note`.
        total: All of the work, where it is known.
        transient: Whether the bar goes away at the end.

    Attributes:
        screen: Where it is shown. What is printed here meanwhile comes above the bar.
    """

    def __init__(
        self, title: str, width: int, *more: ProgressColumn, total: float | None = None, transient: bool = True
    ) -> None:
        self.screen = notices()
        self._terminal = self.screen.is_terminal
        self._bar = Progress(
            TextColumn(f"{{task.description:<{width}}}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            *more,
            console=self.screen,
            transient=transient,
            disable=not self._terminal,
        )
        self._task = self._bar.add_task(title, total=total, note="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


class StepProgress(Bar):
    """Counts the sampler's steps by their work: a bar on a terminal, lines elsewhere. A context manager.

    It says how long it will take: when that is known, or else when a few steps were timed.

    Args:
        title: What is done at first.
    """

    def __init__(self, title: str) -> None:
        super().__init__(title, 28, TimeRemainingColumn())
        self._title, self._is_length_told = title, False
        self._done, self._total, self._tenths = 0.0, 0.0, Tenths()
        self._remaining, self._steps = Remaining(), 0
        self._told: float | None = None  # when a tenth was told last

    def expect(self, work: float, seconds: float | None = None) -> None:
        """Set the total work, and about how long it will take on this machine if that is known."""
        self._total = work
        self._say_length(seconds)
        self._remaining.start(self._done)
        self._bar.update(self._task, total=work)

    def step(self, method: str, work: float = 1.0) -> None:
        """Count one step of a method, which did so much of the total work."""
        self._done += work
        self._steps += 1
        if self._steps == 1:
            self._remaining.start(self._done)  # first steps are slow
        enough = min(_TIMED_STEPS, _TIMED_SHARE * self._total) * (1 - _EXACT)
        if not self._is_length_told and self._remaining.timed(self._done) >= enough:
            self._say_length(self._remaining.seconds(self._done, self._total))
        self._bar.update(self._task, advance=work, description=method)
        percent = self._tenths.reached(self._done, self._total)
        if not self._terminal and percent is not None:
            self._say_tenth(f"{percent:3d}% {method}", is_last=percent == 100)

    def _say_tenth(self, line: str, *, is_last: bool) -> None:
        """A run that is over at once has no lines to watch."""
        now = time.monotonic()
        if now - (self._told or self._remaining.started) < _APART and not (is_last and self._told):
            return
        self._told = now
        self.screen.print(line + self._remaining.words(self._done, self._total))

    def _say_length(self, seconds: float | None) -> None:
        """Once, and only if it is known."""
        if not self._is_length_told and seconds and self._total:
            self._is_length_told = True
            self.screen.print(f"the runs take {about(seconds)} on this machine")

    def __enter__(self) -> Self:
        if not self._terminal:
            self.screen.print(self._title)
        return super().__enter__()
