"""Numbers out of text that others wrote: Python's or JSON's lists, plain lists, YAML. Nothing in it is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from math import isfinite

import yaml

from lesa_framework import ConfigError, Published

#: Lists of numbers, no more than two deep, once there are no spaces: such a text cannot overflow a parser.
_TABLE = re.compile(r"\[(\[[-+0-9eE.,]*\],?)*\]")
_LIST = re.compile(r"[-+0-9eE.,\s]*")
_BETWEEN = re.compile(r"\s*,\s*|\s+")


def read_list(published: Published, key: str) -> tuple[float, ...]:
    """A list of finite numbers: as Python, JSON or YAML write it, alone or under `key`, or plain text.

    Raises:
        ConfigError: It is none.
    """
    inner = published.text.strip().strip("[]()")
    if inner and _LIST.fullmatch(inner):
        return _numbers(published, _plain(published.name, inner))
    try:
        found = yaml.safe_load(published.text)
    # PyYAML leaves the errors of int(), float() and the like as they are.
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise ConfigError(f"{published.name}: neither a list of numbers nor YAML or JSON.") from error
    listed = found.get(key) if isinstance(found, dict) else found
    if not isinstance(listed, list):
        raise ConfigError(f"{published.name}: expected a list of numbers, alone or as `{key}: [...]`.")
    return _numbers(published, listed)


def read_table(published: Published) -> list[tuple[float, ...]]:
    """A list of lists of finite numbers, as Python and JSON write it, or plain text with a row on each line.

    Raises:
        ConfigError: It is none.
    """
    lines = [line for line in published.text.splitlines() if line.strip()]
    if lines and all(map(_LIST.fullmatch, lines)):
        plain = (_plain(f"{published.name}: row {row}", line) for row, line in enumerate(lines, start=1))
        return [_numbers(published, items) for items in plain]
    text = "".join(published.text.split())
    try:
        rows = ast.literal_eval(text) if _TABLE.fullmatch(text) else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        rows = None
    if not rows:
        raise ConfigError(
            f"{published.name}: expected a list of lists of numbers, such as [[0.7, 0.0], [0.1, 0.9]], or a row of "
            "numbers on each line."
        )
    return [_numbers(published, row) for row in rows]


def _plain(where: str, text: str) -> list[str]:
    """The items of a list with spaces or commas between them."""
    items = _BETWEEN.split(text.strip().removesuffix(",").strip())
    if "" in items:  # dropped, it would give every later number to another step
        raise ConfigError(f"{where}: item {items.index('') + 1} is empty, so a number is missing.")
    return items


def _numbers(published: Published, listed: Sequence[object]) -> tuple[float, ...]:
    return tuple(_number(published, item) for item in listed)


def _number(published: Published, item: object) -> float:
    if not isinstance(item, int | float | str):  # others may be nested without end
        raise ConfigError(f"{published.name}: expected numbers, found a {type(item).__name__}.")
    try:
        number = float(item)
    except OverflowError as error:
        raise ConfigError(f"{published.name}: what is beyond 1.8e308 is no number here.") from error
    except ValueError as error:
        raise ConfigError(f"{published.name}: '{str(item)[:80]}' is no number.") from error
    if not isfinite(number):
        raise ConfigError(f"{published.name}: '{str(item)[:80]}' is not finite.")
    return number
