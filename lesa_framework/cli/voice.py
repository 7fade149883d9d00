"""Of several processes that one launcher started, the first one prints, and one tells why they ended.

Imports nothing heavy.
"""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta

from lesa_framework.launcher import Launch, launched

#: How long to look for the launcher's store.
_PATIENCE = timedelta(seconds=5)


class _Command:
    """The command that runs in this process.

    Attributes:
        line: What was typed, for the record.
        number: How many there were before. Every process runs the same ones.
        tells: Whether this process tells how it ended; None before it was asked.
    """

    line = "lesa"
    number = 0
    tells: bool | None = None


def begin(arguments: Sequence[str] | None = None) -> None:
    """A command begins; its arguments are those of the process, if None."""
    _Command.line = shlex.join(["lesa", *(sys.argv[1:] if arguments is None else arguments)])
    _Command.number, _Command.tells = _Command.number + 1, None


def line() -> str:
    """The command line of the command that runs."""
    return _Command.line


@contextmanager
def of_first() -> Iterator[None]:
    """In the block, all processes but the first print nothing."""
    if is_first():
        yield
        return
    nothing = _Nothing()
    with redirect_stdout(nothing), redirect_stderr(nothing):
        yield


class _Nothing(io.TextIOBase):
    """Takes text; never closed, because libraries keep what they found as standard error."""

    def write(self, text: str) -> int:
        return len(text)


def is_first() -> bool:
    """Whether this is the first process, or the only one."""
    launch = launched()
    return launch is None or launch.rank == 0


def tells() -> bool:
    """Whether this process tells how the command ended.

    The first process that asks does, so that a fault of all is told once, and a fault of one is not followed by what
    it means for the others. Where the launcher keeps no store to ask, each process tells.
    """
    if _Command.tells is None:
        launch = launched()
        _Command.tells = launch is None or not launch.has_store or _is_first_to_ask(launch)
    return _Command.tells


def _is_first_to_ask(launch: Launch) -> bool:
    from torch.distributed import TCPStore  # type: ignore[attr-defined] # its documentation has it there

    try:
        store = TCPStore(launch.host, int(launch.port), is_master=False, timeout=_PATIENCE)
        return bool(store.add(f"lesa/{launch.round}/{_Command.number}", 1) == 1)
    except (RuntimeError, ValueError):  # the launcher has ended, or the port is no number
        return True
