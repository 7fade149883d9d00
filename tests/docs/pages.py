"""The pages that people read, and the blocks of code on them."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "plugins/*/README.md", "examples/**/README.md")
    for path in ROOT.glob(pattern)
    if not path.is_relative_to(ROOT / "docs" / "site")
)
SHELLS = ("console", "bash", "sh", "shell")
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: str
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command line of a page, and the text that the page shows below it."""

    page: str
    words: tuple[str, ...]
    shown: str

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def blocks(*languages: str) -> list[Block]:
    """Every block in these languages."""
    return [
        Block(str(page.relative_to(ROOT)), match["language"], textwrap.dedent(match["text"]))
        for page in PAGES
        for match in _FENCE.finditer(page.read_text("utf-8"))
        if match["language"] in languages
    ]


def commands() -> Iterator[Command]:
    """Every command, in the order of the pages; arguments that a page keeps in a variable are filled in."""
    variables: dict[str, str] = {}
    for block in blocks(*SHELLS):
        for line, shown in _lines(block):
            assignment = re.fullmatch(r"(\w+)=\((.*)\)", line)
            if assignment:
                variables[f'"${{{assignment[1]}[@]}}"'] = assignment[2]
                continue
            filled = line
            for name, value in variables.items():
                filled = filled.replace(name, value)
            words = shlex.split(filled, comments=True)
            while words and _ASSIGNMENT.fullmatch(words[0]):
                words.pop(0)
            yield Command(block.page, tuple(words), shown)


def _lines(block: Block) -> Iterator[tuple[str, str]]:
    text = block.text.replace("\\\n", " ")
    if block.language != "console":
        yield from ((line, "") for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
        return
    first, *parts = re.split(r"^ *\$ ", text, flags=re.MULTILINE)
    if not parts and not first.startswith(">>> "):
        raise AssertionError(f"{block.page}: a block of a console without '$ ':\n{block.text}")
    for part in parts:
        line, _, shown = part.partition("\n")
        yield line, shown.strip("\n")
