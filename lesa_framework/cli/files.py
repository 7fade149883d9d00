"""Files that commands read, and checks of those that they will write."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lesa_framework.errors import ConfigError


def check_out_file(path: Path, option: str = "--out") -> None:
    """Refuse a file that could not be written, before any work is done for it.

    Raises:
        ConfigError: It is a folder, or its folder cannot be made or written to.
    """
    _check_folder(path.parent, path, option)
    if path.is_dir():
        raise ConfigError(f"{option} {path}: is a folder; name a file in it, for example {path / 'results.json'}.")


def check_results_files(results: Path | None, report: Path | None) -> None:
    """Refuse a results file or a page that could not be written, or that would overwrite each other.

    Raises:
        ConfigError: As said.
    """
    if results is not None:
        check_out_file(results)
    if report is not None:
        check_out_file(report, "--report")
        if results is not None and results.resolve() == report.resolve():
            raise ConfigError(f"--report {report}: is the file of --out too. Give each its own.")


def check_out_folder(path: Path, option: str = "--out") -> None:
    """Refuse a folder that could not be made or written to.

    Raises:
        ConfigError: It is a file, or cannot be made or written to.
    """
    _check_folder(path, path, option)


def _check_folder(folder: Path, path: Path, option: str) -> None:
    existing = folder
    try:
        path.exists()  # too long a name, for one, shows here
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise ConfigError(f"{option} {path}: {existing} is a file, not a folder.")
        # To try is the only sure way to know: permissions say nothing of file systems that refuse even the superuser.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ConfigError(
            f"{option} {path}: cannot be written ({error.strerror}). Name a place that you can write to."
        ) from error
