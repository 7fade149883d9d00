"""Paths in configuration files are relative to the file's own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def _anchor(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return path if folder is None or path.is_absolute() else folder / path


ConfigPath = Annotated[Path, AfterValidator(_anchor)]
"""A path that is relative to the folder of its configuration file."""
