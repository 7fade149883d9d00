"""Results go to standard output, everything else to standard error."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

#: Tables need room even when they go into a file or a pipe, where there is no terminal to measure.
_PLAIN_WIDTH = 132


def results() -> Console:
    """Where results go. Made for each use, so that it follows a redirected standard output."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def notices() -> Console:
    """Where progress, notes and complaints go."""
    return Console(stderr=True, highlight=False)


def complain(message: str) -> None:
    """Say what is wrong."""
    console = notices()
    console.print("error:", style="bold red", end=" ")
    console.print(message, markup=False, soft_wrap=True)


def note(message: str) -> None:
    """Say something that is good to know."""
    console = notices()
    console.print("note:", style="bold yellow", end=" ")
    console.print(message, markup=False, soft_wrap=True)


class Tenths:
    """Tells when another tenth of the work is done: without a progress bar, each tenth is worth a line."""

    def __init__(self) -> None:
        self._reached = 0

    def reached(self, done: int, total: int) -> int | None:
        """The new percentage, in tens; None while it is the old one, or the total unknown."""
        tenth = min(10 * done // total, 10) if total else 0
        if tenth <= self._reached:
            return None
        self._reached = tenth
        return 10 * tenth


class StepProgress:
    """Counts steps of the sampler: a bar on a terminal, a line for every tenth elsewhere. A context manager.

    It is the watcher of comparisons.
    """

    def __init__(self, title: str) -> None:
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
        """So many steps are to come in all."""
        self._total = steps
        self._bar.update(self._task, total=steps)

    def step(self, method: str) -> None:
        """A method made a step."""
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
