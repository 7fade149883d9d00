"""Reads results files; for files of another format, the error says how to make a new one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from lesa_framework.errors import ConfigError, shortened, shown
from lesa_framework.files import is_file, read_text
from lesa_framework.measure.results import SCHEMA_VERSION, Results

#: The largest whole number; larger ones cannot be calculated with as floats.
_LARGEST: Final = 2**63 - 1
#: Keys of two other files of ours, by which they are known.
_LOG_OF_FIT: Final = {"fingerprint", "versions", "log"}
_RECORD_OF_SEARCH: Final = {"fingerprint", "tried", "compared"}
#: How names of such records end; the page of NAME.search.json is NAME.html.
_RECORD: Final = ".search.json"
_COMMANDS: Final = "`lesa bench FILE.yaml` or `lesa eval CONFIG --out FILE.json`"


def read_results(path: Path) -> Results:
    """Read a results file.

    Raises:
        ConfigError: It cannot be read, is not a results file, or has a format that this version does not know. The
            message names the command that makes a new one.
    """
    hint = f"Give a file that {_COMMANDS} wrote."
    try:
        text = read_text(path, hint=hint)
        content = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_refuse)
        json.dumps(content, ensure_ascii=False).encode()  # halves of characters can be read, but never be written
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}). {hint}") from error
    other = _other(path, content)
    if other:
        raise ConfigError(f"{path}: this is {other} {hint}")
    remedy = f"Make a new one with {_command(content)}."
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version is None:
        raise ConfigError(
            f"{path}: has no schema_version, so it is not a results file of version {SCHEMA_VERSION}. {remedy}"
        )
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"{path}: its schema_version is {shown(version)}, and this version of lesa-framework reads "
            f"{SCHEMA_VERSION}. {remedy}"
        )
    try:
        results = Results.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = shortened(".".join(str(part) for part in first["loc"]))
        problem = shortened(first["msg"].removeprefix("Value error, "))
        raise ConfigError(f"{path}: {f'{place}: ' if place else ''}{problem}. {remedy}") from error
    names = [found.model for found in results.models]
    strange = sorted({row.model for row in results.rows} - set(names))
    if strange or len(set(names)) < len(names):
        what = (
            f"has rows of {shortened(', '.join(strange))}, which it does not describe" if strange else "names one twice"
        )
        raise ConfigError(f"{path}: models: {what}. {remedy}")
    return results


def _other(path: Path, content: Any) -> str:
    """What another file of ours is, in a sentence; empty for what may be a results file."""
    keys = content.keys() if isinstance(content, dict) else set()
    if keys >= _LOG_OF_FIT:
        return "the log of a fit, not a results file."
    if not keys >= _RECORD_OF_SEARCH:
        return ""
    page = path.with_name(f"{path.name.removesuffix(_RECORD)}.html")
    has_page = path.name.endswith(_RECORD) and is_file(page)
    return f"the record of a search, not a results file.{f' Its page is {page}.' if has_page else ''}"


def _whole(digits: str) -> int:
    number = int(digits)
    if abs(number) > _LARGEST:
        raise ValueError(f"a number is beyond {_LARGEST}")
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{shortened(digits)} is beyond all numbers that can be calculated with")
    return number


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")


def _command(content: Any) -> str:
    """The command that made the file, if the file names it; otherwise the commands that make such files."""
    made_by = content.get("command") if isinstance(content, dict) else None
    return f"`{shortened(made_by)}`" if isinstance(made_by, str) and made_by.startswith("lesa ") else _COMMANDS
