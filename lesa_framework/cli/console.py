"""Results go to standard output, everything else to standard error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lesa_framework.errors import LesaWarning

#: Width of tables in a file or a pipe, where there is no terminal to measure.
_PLAIN_WIDTH = 132


def results() -> Console:
    """The console for results. Made for each use, so that it follows a redirected standard output."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def notices() -> Console:
    """The console for progress, notes and errors."""
    return Console(stderr=True, highlight=False)


def complain(message: str) -> None:
    """Print an error message."""
    console = notices()
    console.print("error:", style="bold red", end=" ")
    console.print(message, markup=False, soft_wrap=True)


def note(message: str) -> None:
    """Print a note: something worth knowing."""
    console = notices()
    console.print("note:", style="bold yellow", end=" ")
    console.print(message, markup=False, soft_wrap=True)


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


class Tenths:
    """Tells when another tenth of the work is done; where there is no progress bar, each tenth gets a line."""

    def __init__(self) -> None:
        self._reached = 0

    def reached(self, done: int, total: int) -> int | None:
        """The new percentage, a multiple of ten; None while it has not changed or the total is unknown."""
        tenth = min(10 * done // total, 10) if total else 0
        if tenth <= self._reached:
            return None
        self._reached = tenth
        return 10 * tenth


class StepProgress:
    """Counts the sampler's steps: a bar on a terminal, a line for every tenth elsewhere. A context manager.

    Args:
        title: What is done.
        announce: Say how much is left when that is known, because the work resumes.
    """

    def __init__(self, title: str, *, announce: bool = False) -> None:
        self._title, self._announce = title, announce
        console = notices()
        self._terminal = console.is_terminal
        self._console, self._done, self._total, self._tenths = console, 0, 0, Tenths()
        self._bar = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self._terminal,
        )
        self._task = self._bar.add_task(title, total=None)

    def expect(self, steps: int) -> None:
        """Set the total number of steps."""
        self._total = steps
        if self._announce:
            self._console.print(f"{self._title}: about {steps} steps of the sampler are left", markup=False)
        self._bar.update(self._task, total=steps)

    def step(self, method: str) -> None:
        """Count one step of a method."""
        self._done += 1
        self._bar.update(self._task, advance=1, description=method)
        percent = self._tenths.reached(self._done, self._total)
        if not self._terminal and percent is not None:
            self._console.print(f"{percent:3d}% {method}", markup=False)

    def __enter__(self) -> StepProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
