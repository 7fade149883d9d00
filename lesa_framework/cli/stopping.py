"""Ctrl-C and SIGTERM end a command with one line, whatever it is doing. Imports nothing heavy: it comes first."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: What to tell about a stop, for each block of work that is under way; the innermost one counts.
_advice: list[Callable[[], str]] = []


class Stopped(BaseException):
    """The user or the system stops the command.

    No `KeyboardInterrupt`, which libraries catch.

    Args:
        number: The signal.
        advice: What the user can do now.
    """

    def __init__(self, number: int = signal.SIGINT, advice: str = "stopped.") -> None:
        super().__init__(advice)
        self.code = 128 + number


@contextmanager
def advice_when_stopped(advice: Callable[[], str]) -> Iterator[None]:
    """A stop in the block ends the command with this advice.

    Args:
        advice: What to print; asked then, because it depends on how much was done.
    """
    _advice.append(advice)
    try:
        yield
    except (Stopped, KeyboardInterrupt) as stop:
        number = stop.code - 128 if isinstance(stop, Stopped) else signal.SIGINT
        raise Stopped(number, advice()) from None
    finally:
        _advice.pop()


def start() -> None:
    """From now on, a first signal raises `Stopped`, and a second one ends the process at once."""
    for number in _SIGNALS:
        # Who starts a command in the background may have chosen that it ignores Ctrl-C.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _unraisable


def finish() -> None:
    """The outcome is known: a signal while Python ends changes nothing about it, and must not print a traceback."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _stop(number: int, frame: FrameType | None) -> None:
    for each in _SIGNALS:
        signal.signal(each, _leave)
    # Imports hold nothing that would need an orderly end, but much that swallows exceptions or is left half-made.
    if _imports(frame):
        _leave(number, frame)
    raise Stopped(number)


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _leave(number: int, _frame: FrameType | None) -> None:
    """End the process at once, with the one line."""
    line, is_told = "stopped.", True
    with suppress(Exception):
        line = _advice[-1]() if _advice else line
    with suppress(Exception):
        is_told = _is_told(number)
    with suppress(Exception):
        sys.stdout.flush()
    clean = b"\x1b[?25h\x1b[K" if os.isatty(2) else b""  # a progress bar has hidden the cursor
    with suppress(OSError):
        os.write(2, clean + (line.encode() + b"\n") * is_told)
    os._exit(128 + number)


def _is_told(number: int) -> bool:
    """Of several processes one tells. Their launcher ends them by SIGTERM when another one has failed and said why."""
    from lesa_framework.cli import voice
    from lesa_framework.launcher import launched

    return launched() is None or (voice.is_first() and number == signal.SIGINT)


def _unraisable(problem: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised in destructors and callbacks; a stop must not be lost there."""
    if isinstance(problem.exc_value, Stopped):
        _leave(problem.exc_value.code - 128, None)
    sys.__unraisablehook__(problem)
