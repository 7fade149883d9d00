"""Which rows of a benchmark are wanted: `--only`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from typing import Final

from lesa_framework.errors import ConfigError, shortened
from lesa_framework.measure.results import fewer_steps_name
from lesa_framework.measure.tasks import Benchmark, Task

#: How many names of rows a message lists.
_LISTED: Final = 12
_WILD = re.compile(r"[*?\[]")


def is_wanted(model: str, name: str, only: Sequence[str]) -> bool:
    """Whether a row is one of those that are asked for.

    Args:
        model: The row's model.
        name: The row's name.
        only: Patterns of names, with or without the model; none ask for every row.
    """
    return not only or any(fnmatch(each, pattern) for pattern in only for each in (name, f"{model}/{name}"))


def check_only(bench: Benchmark, only: Sequence[str]) -> None:
    """Refuse patterns that fit no row, before a model is loaded.

    Only the names of caches are known by then. Of plain runs and peers it is enough that a pattern begins as they do.

    Raises:
        ConfigError: No pattern fits a row.
    """
    if not only:
        return
    for task in bench.tasks:
        known = any(is_wanted(task.source.name, each.name, only) for each in task.caches)
        if known or any(_may_fit(task, stem, pattern) for stem in _stems(task) for pattern in only):
            return
    raise no_row(bench, only)


def no_row(bench: Benchmark, only: Sequence[str]) -> ConfigError:
    """The error of patterns that fit no row; it lists the rows that there are."""
    names = [
        f"{task.source.name}/{name}"
        for task in bench.tasks
        for name in (*(each.name for each in task.caches), *(f"{stem}N" for stem in _stems(task)))
    ]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ConfigError(
        f"--only {shortened(' '.join(only))}: fits no row. Rows are named MODEL/NAME, and MODEL/ may be left out. "
        f"This file has {', '.join(names[:_LISTED])}{more}."
    )


def _stems(task: Task) -> Iterator[str]:
    """How the names of plain runs and of peers begin; how they end shows when the model is loaded."""
    yield fewer_steps_name(0)[:-1]
    spec = task.spec
    yield from (f"{name}_" for name in dict.fromkeys([*spec.samplers, *spec.peers, *spec.peers_by_steps]))
    yield from (f"{name}-" for name in spec.told_peers)


def _may_fit(task: Task, stem: str, pattern: str) -> bool:
    start = _WILD.split(pattern)[0]
    begins = (stem, f"{task.source.name}/{stem}")
    return any(start.startswith(each) or (start != pattern and each.startswith(start)) for each in begins)
