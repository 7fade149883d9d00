"""Finished parts of a benchmark: on disk from the moment they are finished, or only in memory."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from lesa_framework.errors import ConfigError
from lesa_framework.files import append_line, write_bytes

Cell = TypeVar("Cell", bound=BaseModel)

_LINES: Final = "cells.jsonl"
#: Files of tensors, also those that were being written when the program was stopped.
_TENSORS: Final = re.compile(r"[0-9a-f]{24}\.safetensors|\.lesa-[0-9a-f]+\.partial")


class Store:
    """A folder with a line for each finished cell, and a file for each group of tensors.

    A cell is found by what it was measured with (model, method, prompts, versions, machine): change that, and it is
    measured again, while the others stay.

    Args:
        folder: Where to keep them; only in memory, for this run alone, if None.

    Raises:
        ConfigError: The folder exists and holds something else.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = None if folder is None else folder.resolve()
        self._cells: dict[str, Any] = {}
        self._tensors: dict[str, Mapping[str, Tensor]] = {}
        if self._folder is None or not self._folder.exists():
            return
        lines = self._folder / _LINES
        if lines.is_file():
            self._cells |= _read(lines)
        elif not self._folder.is_dir() or any(self._folder.iterdir()):
            raise ConfigError(
                f"{folder}: is not the folder of a stopped benchmark. Move it away, or name another --out."
            )

    def __len__(self) -> int:
        """Finished cells."""
        return len(self._cells)

    def find(self, identity: Mapping[str, Any], kind: type[Cell]) -> Cell | None:
        """A finished cell; None when there is none, or when another version wrote it in another form."""
        found = self._cells.get(_digest(identity))
        try:
            return None if found is None else kind.model_validate(found)
        except ValidationError:
            return None

    def keep(self, identity: Mapping[str, Any], cell: BaseModel) -> None:
        """Store a finished cell."""
        key, value = _digest(identity), cell.model_dump(mode="json")
        self._cells[key] = value
        if self._folder is None:
            return
        append_line(self._folder / _LINES, json.dumps({"key": key, "cell": value}).encode())

    def find_tensors(self, identity: Mapping[str, Any]) -> dict[str, Tensor] | None:
        """Stored tensors; None when there are none, or they are damaged."""
        key = _digest(identity)
        if self._folder is None:
            return dict(self._tensors[key]) if key in self._tensors else None
        path = self._folder / f"{key}.safetensors"
        try:
            return load_file(path) if path.is_file() else None
        except SafetensorError:  # a machine that lost its power may leave an empty file
            return None

    def keep_tensors(self, identity: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Store tensors, all or nothing."""
        key = _digest(identity)
        if self._folder is None:
            self._tensors[key] = tensors
            return
        if not self._cells:
            append_line(self._folder / _LINES, b"")  # marks the folder as ours before anything else is in it
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        write_bytes(self._folder / f"{key}.safetensors", save(contiguous))

    def clear(self) -> None:
        """Delete everything, with the folder unless it holds something else: the benchmark is finished."""
        if self._folder is not None and self._folder.exists():
            for path in self._folder.iterdir():
                if path.name == _LINES or _TENSORS.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            with suppress(OSError):
                self._folder.rmdir()
        self._cells.clear()
        self._tensors.clear()


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _read(path: Path) -> list[tuple[str, Any]]:
    found = []
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
            found.append((str(entry["key"]), entry["cell"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # it was being written when the program was stopped
    return found
