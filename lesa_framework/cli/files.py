"""Checks of the files and folders that commands will write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from lesa_framework.errors import ConfigError
from lesa_framework.files import output_file


def check_out_file(path: Path, option: str = "--out", inputs: Sequence[Path] = ()) -> None:
    """Refuse a file that cannot be written, before any work is done for it.

    Args:
        path: The file.
        option: The option that named it.
        inputs: Files that the command reads, which it must not replace.

    Raises:
        ConfigError: It is no regular file or an input, or its folder cannot be created or written to.
    """
    target = output_file(path, option)
    _check_folder(target.parent, path, option)
    for each in inputs:
        if target == _real(each):
            raise ConfigError(f"{option} {path}: this command reads that file. Name another one to write.")


def check_results_files(results: Path | None, report: Path | None, inputs: Sequence[Path] = ()) -> None:
    """Refuse a results file and a page that cannot be written, or that are the same file.

    Raises:
        ConfigError: One cannot be written or is an input, or both are the same file.
    """
    if results is not None:
        check_out_file(results, inputs=inputs)
    if report is not None:
        check_out_file(report, "--report", inputs)
        if results is not None and _real(results) == _real(report):
            raise ConfigError(f"--report {report}: --out names the same file. Give each a file of its own.")


def check_out_folder(path: Path, names: Iterable[str] = (), option: str = "--out", inputs: Sequence[Path] = ()) -> None:
    """Refuse a folder that cannot be created or written to.

    Args:
        path: The folder.
        names: Files that will be written in it.
        option: The option that named it.
        inputs: Files that the command reads, which it must not replace.

    Raises:
        ConfigError: It is a file, cannot be created or written to, or one of the names cannot.
    """
    _check_folder(_real(path), path, option)
    for name in names:
        check_out_file(path / name, option, inputs)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _check_folder(folder: Path, path: Path, option: str) -> None:
    existing = folder
    try:
        path.exists()  # fails for a name that is too long, for example
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise ConfigError(f"{option} {path}: {existing} is a file, not a folder.")
        # Only trying is sure: permissions do not show file systems that refuse even the superuser.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ConfigError(
            f"{option} {path}: cannot be written ({error.strerror}). Name a place where you may write."
        ) from error
