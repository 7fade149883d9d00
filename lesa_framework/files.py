"""Files that are written completely or not at all, and files of prompts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lesa_framework.errors import ConfigError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a path to write to; it replaces `path` when the block ends without an error.

    Args:
        path: The file to write; its folder is created when missing.

    Yields:
        A path next to it, which is gone afterwards.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, all or nothing; its folder is created when missing."""
    with whole_file(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file, all or nothing; its folder is created when missing."""
    write_bytes(path, content.encode("utf-8"))


def read_prompts(path: Path, name: str = "--prompts") -> list[str]:
    """The prompts of a file, one per line; empty lines are ignored.

    Args:
        path: A UTF-8 text file.
        name: The option that named it, for messages.

    Raises:
        ConfigError: The file cannot be read or holds no prompts.
    """
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} {path}: cannot be read ({error}). Give a UTF-8 text file.") from error
    prompts = [line for line in lines if line]
    if not prompts:
        raise ConfigError(f"{name} {path}: holds no prompts. Write one on each line.")
    return prompts
