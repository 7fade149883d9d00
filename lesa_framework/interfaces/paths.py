"""Paths in configuration files are relative to the file's own folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from lesa_framework.files import is_folder


def _anchor(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return path if folder is None or path.is_absolute() else folder / path


ConfigPath = Annotated[Path, AfterValidator(_anchor)]
"""A path that is relative to the folder of its configuration file."""


def _anchor_name(name: str, info: ValidationInfo) -> str:
    folder = (info.context or {}).get("folder")
    if folder is None or not name.startswith("."):
        return name
    path = Path(os.path.normpath(folder / name))
    if not is_folder(path):
        return name
    here = Path.cwd()  # the name is shown, and stands in results: no path of this machine where none is needed
    return with_a_dot(path.relative_to(here) if path.is_relative_to(here) else path)


def with_a_dot(path: Path) -> str:
    """A folder as a model's name; one that is relative begins with a dot."""
    return str(path) if path.is_absolute() or path.parts[:1] == ("..",) else f"./{path.as_posix()}"


ModelName = Annotated[str, AfterValidator(_anchor_name)]
"""A model's name, folder or hub id. A folder that begins with a dot is relative to the folder of its configuration
file, or when there is none of that name, to the current one."""
