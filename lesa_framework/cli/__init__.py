"""The `lesa` command. This module imports nothing heavy, so that Ctrl-C is handled before anything else happens."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence

try:
    from lesa_framework.cli import stopping
except KeyboardInterrupt:  # in the few milliseconds that even this takes
    os.write(2, b"stopped.\n")
    os._exit(130)

__all__ = ["answer_signals", "main", "run", "serve"]


def answer_signals() -> None:
    """From now on, Ctrl-C and SIGTERM end the process with one line, also while modules are imported.

    For scripts that end with [`serve`][lesa_framework.cli.serve], before their imports of anything heavy.
    """
    stopping.start()


def serve(app: Callable[[Sequence[str] | None], object]) -> None:
    """Run a command line as `lesa` is run, and end the process.

    An error of ours is one line and exit code 1 or 2, Ctrl-C one line and 130, SIGTERM one line and 143.
    Characters that standard output cannot encode are printed as escapes.

    Args:
        app: Runs the command for given arguments, or the process's own when it gets None; a `typer.Typer` does.
    """
    try:
        stopping.start()
        if isinstance(sys.stdout, io.TextIOWrapper):  # a host may have put another stream there, or none
            sys.stdout.reconfigure(errors="backslashreplace")
        code = _outcome(app, None, known=stopping.finish)
        stopping.finish()
    except stopping.Stopped as stop:  # in the moments before and after the command itself
        stopping.finish()
        code = _tell_stop(stop)
    sys.exit(code)


def main() -> None:
    """The entry point of the `lesa` script."""
    serve(_lesa)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run `lesa` in this process, whose answers to signals stay as they are.

    Args:
        arguments: What follows `lesa`; the process's own arguments by default.

    Returns:
        The exit code: 0, 1 (failed), 2 (bad input) or 130 (stopped).
    """
    return _outcome(_lesa, arguments, known=lambda: None)


def _lesa(arguments: Sequence[str] | None) -> None:
    from lesa_framework.cli.app import app

    app(arguments)


def _outcome(
    app: Callable[[Sequence[str] | None], object], arguments: Sequence[str] | None, known: Callable[[], None]
) -> int:
    """Run a command and tell of its failure; `known` is called in between."""
    from lesa_framework.cli import voice
    from lesa_framework.errors import LesaError, is_out_of_memory

    voice.begin(arguments)
    try:
        with voice.of_first():
            app(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except stopping.Stopped as stop:
        known()
        return _tell_stop(stop)
    except (LesaError, OSError) as error:
        known()
        _complain(str(error))
        # Errors about an input have a class of their own.
        return 2 if isinstance(error, LesaError) and type(error) is not LesaError else 1
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        known()
        reason = next(iter(str(error).splitlines()), "").rpartition("DefaultCPUAllocator: ")[2].rstrip(".")
        _complain(
            f"out of memory: {reason}. Close what else uses it, make smaller samples or fewer at once (--height, "
            "--width; --batch, or --set training.batch=1 for a search or a training), or keep the history in fewer "
            "bits (--set engine.history.dtype=bfloat16). On a full GPU the history may also be kept on the host (--set "
            "engine.history.device=cpu); weights that do not fit by themselves need offloading, which Python has: "
            "pipe.enable_model_cpu_offload() before lesa.accelerate(pipe)."
        )
        return 1
    except ModuleNotFoundError as error:
        if (message := _about_missing(error.name)) is None:  # no extra of ours, so a bug
            raise
        known()
        _complain(message)
        return 2
    return 0


def _tell_stop(stop: stopping.Stopped) -> int:
    from lesa_framework.cli import voice

    # All processes are stopped together, and the first one knows best how to resume.
    if voice.is_first() and voice.tells():
        sys.stderr.write(f"{stop}\n")
    return stop.code


def _about_missing(module: str | None) -> str | None:
    """What to say about a module that is not installed; None where no extra brings it."""
    from lesa_framework.extras import package_of, remedy_for

    remedy = remedy_for(module)
    return None if remedy is None else f"{package_of(str(module))} is not installed. Install with: {remedy}"


def _complain(message: str) -> None:
    from lesa_framework.cli import voice
    from lesa_framework.cli.console import complain

    if voice.tells():
        complain(message)
