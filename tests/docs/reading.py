"""The page of what plugins may read, from the docstrings: `python -m tests.docs.reading` writes it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from lesa_framework.types import EntryInfo, Filter, HistoryView, RunInfo, StepContext

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "reading.md"
#: What is shown, and what it is there for.
SHOWN = {
    StepContext: "A schedule's `decide`, a predictor's `filter`, `predict` and `correct` get it as `ctx`.",
    EntryInfo: "A predictor's `filter` gets them as `entries`, newest first; `ctx.entries` has the same.",
    HistoryView: "A predictor's `predict` and `correct` get it as `history`; an affine predictor needs none.",
    RunInfo: "A predictor's `check` gets it when a run begins, and an observer too.",
    Filter: "What an affine predictor's `filter` returns.",
}
_HEAD = """# What a plugin may read

Everything that the engine hands to schedules and predictors. It is frozen, tensors are read-only, and there is nothing
else: a plugin keeps no state between steps. This page is made from the docstrings of the code.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for item, use in SHOWN.items():
        rows = [f"| `{name}` | `{kind}` | {about} |" for name, kind, about in described(item)]
        about = " ".join(inspect.getdoc(item).partition("\n\n")[0].split())
        parts.append(
            "\n".join([f"## {item.__name__}", "", f"{about} {use}", "", "| | Type | Is |", "|---|---|---|", *rows, ""])
        )
    return "\n".join(parts)


def described(item: type) -> Iterator[tuple[str, str, str]]:
    """Name, type and meaning of each field, property and method.

    Raises:
        ValueError: One has no description.
    """
    said = dict(_attributes(inspect.getdoc(item)))
    for name, kind in inspect.get_annotations(item).items():
        if name not in said:
            raise ValueError(f"{item.__name__}.{name}: the docstring does not say what it is")
        yield name, kind.replace("|", "\\|"), said[name]
    for name, member in vars(item).items():
        if name.startswith("_") or name in said or not (isinstance(member, property) or inspect.isfunction(member)):
            continue
        call = member.fget if isinstance(member, property) else member
        about = " ".join(inspect.getdoc(member).split())
        arguments = (
            "" if isinstance(member, property) else f"({', '.join(list(inspect.signature(call).parameters)[1:])})"
        )
        yield f"{name}{arguments}", str(call.__annotations__["return"]).replace("|", "\\|"), about


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    section = re.search(r"^Attributes:\n((?:    .*\n?|\n)*)", text, re.MULTILINE)
    for name, about in re.findall(r"^    (\w+): ((?:.*)(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE):
        yield name, " ".join(about.split())


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
