"""Reads results files; for files of another format, the error says how to make a new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from lesa_framework.errors import ConfigError
from lesa_framework.files import read_text
from lesa_framework.measure.results import SCHEMA_VERSION, Results

_COMMANDS: Final = "`lesa bench FILE.yaml` or `lesa eval CONFIG --out FILE.json`"


def read_results(path: Path) -> Results:
    """Read a results file.

    Raises:
        ConfigError: It cannot be read, is not a results file, or has a format that this version does not know. The
            message names the command that makes a new one.
    """
    hint = f"Give a file that {_COMMANDS} wrote."
    try:
        content = json.loads(read_text(path, hint=hint), parse_constant=_refuse)
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}). {hint}") from error
    remedy = f"Make a new one with {_command(content)}."
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version is None:
        raise ConfigError(
            f"{path}: has no schema_version, so it is not a results file of version {SCHEMA_VERSION}. {remedy}"
        )
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"{path}: its schema_version is {version!r}, and this version of lesa-framework reads {SCHEMA_VERSION}. "
            f"{remedy}"
        )
    try:
        return Results.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: {f'{place}: ' if place else ''}{problem}. {remedy}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")


def _command(content: Any) -> str:
    """The command that made the file, if the file names it; otherwise the commands that make such files."""
    made_by = content.get("command") if isinstance(content, dict) else None
    return f"`{made_by}`" if isinstance(made_by, str) and made_by.startswith("lesa ") else _COMMANDS
