"""How the commands of the benchmarks refuse bad input: as `lesa` does, with a line on standard error and code 2."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import typer

from lesa_framework.cli import console
from lesa_framework.errors import ConfigError, LesaError


@contextmanager
def refusals() -> Iterator[None]:
    """An error of ours in the block, or in what this decorates, ends the command."""
    try:
        yield
    except LesaError as error:
        console.complain(str(error))
        raise typer.Exit(2) from error


def check_known(names: Collection[str], valid: Collection[str], what: str) -> None:
    """Raises a ConfigError that names those that are not valid; `what` they are is a noun."""
    unknown = [name for name in names if name not in valid]
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: no such {what}. Valid: {', '.join(valid)}.")
