"""What all written pages are put together from: tables, parts that fold away, and the places that are filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def signed(number: float, digits: int = 2) -> str:
    """A difference as all pages write it."""
    return f"{number:+.{digits}f}".replace("-", "−")


def number(value: float | None, digits: int, unit: str = "") -> str:
    """A number for a cell; empty where there is none."""
    return "" if value is None else f"{value:.{digits}f}{unit}"


def folded(summary: str, content: str) -> str:
    """A part of a page that is shown on a click, on the site as on GitHub; `summary` is text without markup."""
    return f'<details markdown="1">\n<summary>{summary}</summary>\n\n{content}\n\n</details>'


def header(headings: Sequence[str], words: int) -> str:
    """The head of a table whose first columns are words and whose others are numbers."""
    line = "|".join("---" if place < words else "--:" for place in range(len(headings)))
    return f"| {' | '.join(headings)} |\n|{line}|"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """A whole one."""
    return "\n".join([header(headings, words), *(f"| {' | '.join(row)} |" for row in rows)])


def filled(text: str, contents: Mapping[str, str]) -> str:
    """The page with new content between the markers of each name.

    Raises:
        ValueError: A marker is not there.
    """
    for name, content in contents.items():
        start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"no {start} and {end} on the page")
        text = f"{before}{start}\n{content}\n{end}{after}"
    return text


def between_markers(text: str, content: str) -> str:
    """The page with new content where its results are."""
    return filled(text, {"results": content})
