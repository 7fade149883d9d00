"""The `lesa` command. This module imports nothing heavy, so that Ctrl-C is handled before anything else happens."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

try:
    from lesa_framework.cli import stopping
except KeyboardInterrupt:  # in the few milliseconds that even this takes
    os.write(2, b"stopped.\n")
    os._exit(130)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows `lesa`; the process's own arguments by default.

    Returns:
        The exit code: 0, 1 (failed), 2 (bad input), 130 (stopped by Ctrl-C) or 143 (by SIGTERM).
    """
    from lesa_framework.errors import LesaError

    try:
        from lesa_framework.cli.app import app

        app(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except stopping.Stopped as stop:
        sys.stderr.write(f"{stop}\n")
        return stop.code
    except LesaError as error:
        _complain(str(error))
        return 1 if type(error) is LesaError else 2  # errors about an input have a class of their own
    except OSError as error:
        _complain(str(error))
        return 1
    return 0


def _complain(message: str) -> None:
    from lesa_framework.cli.console import complain

    complain(message)


def main() -> None:
    """The entry point of the `lesa` script."""
    try:
        stopping.start()
        code = run()
        stopping.finish()
    except stopping.Stopped as stop:  # in the moments before and after the command itself
        stopping.finish()
        sys.stderr.write(f"{stop}\n")
        code = stop.code
    sys.exit(code)
