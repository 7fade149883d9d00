"""Writes what diffusers saves as a folder, each file all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from safetensors import SafetensorError

from lesa_framework import LesaError, in_one_line
from lesa_framework.files import write_bytes

#: They come last, and what stands there goes first: where one stands, the folder is whole.
_LAST: Final = ("config.json", "model_index.json")


def save_folder(save: Callable[[Path], object], folder: Path) -> None:
    """Save into a temporary folder, and write its files to their places.

    While they take the places of earlier ones, the folder is not whole.

    Args:
        save: Saves into a folder, such as `pipe.save_pretrained`.
        folder: Where the files belong.

    Raises:
        LesaError: They cannot be written.
    """
    try:
        with TemporaryDirectory() as partial:
            save(Path(partial))
            files = [path for path in Path(partial).rglob("*") if path.is_file()]
            # The innermost first, so that the file that tells of all others is the very last.
            files.sort(key=lambda path: (path.name in _LAST, -len(path.parts), path))
            for path in reversed(files):  # earlier ones, which would vouch for a mix of old and new files
                if path.name in _LAST:
                    (folder / path.relative_to(partial)).unlink(missing_ok=True)
            for path in files:
                write_bytes(folder / path.relative_to(partial), path.read_bytes())
    except (OSError, SafetensorError) as error:  # write_bytes has an error of its own
        raise LesaError(
            f"{folder}: cannot be written ({in_one_line(error)[:200]}). Its files are made in the system's folder for "
            "temporary files first: free some space there, or name another folder with TMPDIR."
        ) from error


def is_whole(folder: Path) -> bool:
    """Whether `save_folder` has come to its end there."""
    return any((folder / name).is_file() for name in _LAST)
