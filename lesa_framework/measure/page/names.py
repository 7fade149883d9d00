"""Short names, for places with little room."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from lesa_framework.measure.results import Kind, Row


def short_names(rows: Sequence[Row]) -> dict[str, str]:
    """Names of one model's rows, without the beginning that all its configurations share.

    `ref-flux-lesa-n7` becomes `lesa-n7`, and `fewer_steps_10` becomes `10 plain steps`.
    """
    shared = _shared_prefix([row.name for row in rows if row.kind is Kind.CACHE])
    return {row.name: _plain(row) or row.name.removeprefix(shared) for row in rows}


def _plain(row: Row) -> str:
    return f"{row.num_steps} plain steps" if row.kind is Kind.FEWER_STEPS else ""


def _shared_prefix(names: Sequence[str]) -> str:
    """The beginning that all names share, in whole words that end in a hyphen; never a whole name."""
    columns = zip(*(name.split("-")[:-1] for name in names), strict=False)
    shared = takewhile(lambda words: len(set(words)) == 1, columns)
    return "".join(f"{words[0]}-" for words in shared) if len(names) > 1 else ""
