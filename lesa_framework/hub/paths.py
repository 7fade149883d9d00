"""Paths of this machine, which nobody else can follow."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from lesa_framework.files import is_folder


def without_paths(value: Any) -> Any:
    """A value in which every path of a machine is the name of its last part alone."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items() if key != "prompts_file"}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    if not isinstance(value, str):
        return value
    if PureWindowsPath(value).is_absolute():
        return PureWindowsPath(value).name
    is_path = value.startswith(("/", "~", "./", "../")) or ("/" in value and is_folder(Path(value)))
    return PurePosixPath(value).name if is_path else value
