"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write to the path that this gives; when all went well it takes the place of `path`.

    Args:
        path: The file to write; its folder is made when missing.

    Yields:
        A path beside it, which is gone afterwards.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, all or nothing; its folder is made when missing."""
    with whole_file(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file, all or nothing; its folder is made when missing."""
    write_bytes(path, content.encode("utf-8"))
