"""Checks of the files and folders that commands will write."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lesa_framework.errors import ConfigError


def check_out_file(path: Path, option: str = "--out") -> None:
    """Refuse a file that cannot be written, before any work is done for it.

    Raises:
        ConfigError: It is a folder, or its folder cannot be created or written to.
    """
    _check_folder(path.parent, path, option)
    if path.is_dir():
        raise ConfigError(f"{option} {path}: this is a folder. Name a file in it, for example {path / 'results.json'}.")


def check_results_files(results: Path | None, report: Path | None) -> None:
    """Refuse a results file and a page that cannot be written, or that are the same file.

    Raises:
        ConfigError: One cannot be written, or both are the same file.
    """
    if results is not None:
        check_out_file(results)
    if report is not None:
        check_out_file(report, "--report")
        if results is not None and results.resolve() == report.resolve():
            raise ConfigError(f"--report {report}: --out names the same file. Give each a file of its own.")


def check_out_folder(path: Path, option: str = "--out") -> None:
    """Refuse a folder that cannot be created or written to.

    Raises:
        ConfigError: It is a file, or cannot be created or written to.
    """
    _check_folder(path, path, option)


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
