"""What long work says before its first heavy step, and after its last: work, memory, disk and time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lesa_framework.cli import console, machine
from lesa_framework.files import is_folder
from lesa_framework.words import amount, size

#: A need of more than this share of what is free is worth a warning.
_NEAR = 0.9
#: Until a time was measured.
_TIMED = "said when the first steps were timed, and corrected as the work goes on"


@dataclass(frozen=True)
class Part:
    """Something that takes room.

    Attributes:
        name: What it is.
        nbytes: About how much it takes.
        held: Whether it is in memory already, so that it needs none of what is free.
    """

    name: str
    nbytes: int
    held: bool = False


@dataclass(frozen=True)
class Room:
    """What is needed of one kind of room, and what is free.

    Attributes:
        where: A device or a folder.
        parts: What takes the room.
        free: Bytes that are free; None where that is not known.
        more: What else takes some, in words.
    """

    where: str
    parts: tuple[Part, ...]
    free: int | None
    more: str = ""

    @property
    def nbytes(self) -> int:
        """All parts together."""
        return sum(part.nbytes for part in self.parts)

    @property
    def lacks(self) -> bool:
        """Whether what is not there yet takes nearly all that is free, or more."""
        wanted = sum(part.nbytes for part in self.parts if not part.held)
        return self.free is not None and wanted > _NEAR * self.free

    def __str__(self) -> str:
        parts = [f"{part.name} {size(part.nbytes)}" for part in self.parts if part.nbytes]
        told = ", ".join([*parts, *([self.more] if self.more else [])])
        free = "" if self.free is None else f"; {size(self.free)} free"
        return f"about {size(self.nbytes)} {self.where}: {told}{free}"


@dataclass(frozen=True)
class Forecast:
    """What a command will do and need.

    Attributes:
        work: Runs, samples, steps; a line for each model.
        memory: Of each device; empty where it cannot be told.
        disk: What will be written; None for nothing, or where it cannot be told.
        time: How long it takes, as far as that is known.
    """

    work: tuple[str, ...]
    memory: tuple[Room, ...] = ()
    disk: Room | None = None
    time: str = _TIMED

    def rows(self) -> list[tuple[str, str]]:
        """A word and what it is about, line by line."""
        unknown = "cannot be told before the first run"
        memory = [("memory", str(room)) for room in self.memory] or [("memory", unknown)]
        disk = [] if self.disk is None else [("disk", str(self.disk))]
        return [*(("work", text) for text in self.work), *memory, *disk, ("time", self.time)]

    def say(self, screen: Console | None = None) -> None:
        """Print the block, and a warning for each room that is too small or nearly so.

        Args:
            screen: Where to; needed where a progress bar is on it. Standard error by default.
        """
        screen = screen or console.notices()
        if screen.is_terminal:
            table = Table.grid(padding=(0, 2))
            for word, text in self.rows():
                table.add_row(f"  {word}", Text(text))
            screen.print(table)
        else:
            for word, text in self.rows():
                screen.print(f"  {word:<8}{text}", soft_wrap=True)
        for word, room in [*(("memory", room) for room in self.memory), ("disk", self.disk)]:
            if room is not None:
                warn(word, room, screen)


def warn(word: str, room: Room, screen: Console) -> None:
    """Print a warning if a room is too small or nearly so.

    Args:
        word: `memory` or `disk`.
        room: The room.
        screen: Where to.
    """
    if not room.lacks:
        return
    wanted = sum(part.nbytes for part in room.parts if not part.held)
    remedy = {
        "memory": "Smaller batches, or fewer or smaller samples, need less.",
        "disk": "Make room, or write to another disk.",
    }
    needed = f"{word}: about {size(wanted)} more are needed {room.where}, and {size(room.free or 0)} are free."
    console.note(f"{needed} {remedy[word]}", screen)


class Job:
    """A command at work: knows when it began, and says at the end what it took. Make it when the command begins."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.device: torch.device | None = None

    def done(self, written: Iterable[Path]) -> None:
        """Say that it is finished: how long it took, the most memory, and what was written.

        Args:
            written: Files, and folders whose files all count. What is not there does not.
        """
        files = [
            file for path in written for file in (path.rglob("*") if is_folder(path) else [path]) if file.is_file()
        ]
        most, what = machine.peak(self.device)
        parts = [f"done in {console.took(time.monotonic() - self._started)}, loading the model included"]
        if most:
            parts.append(f"at most {size(most)} of memory {what}")
        if files:
            parts.append(f"{amount(len(files), 'file')} of {size(sum(file.stat().st_size for file in files))} written")
        console.announce("; ".join(parts))
