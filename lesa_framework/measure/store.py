"""Finished parts of a benchmark: on disk from the moment they are finished, or only in memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from lesa_framework.errors import ConfigError
from lesa_framework.files import write_bytes

Cell = TypeVar("Cell", bound=BaseModel)

_LINES = "cells.jsonl"


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
        self._folder = folder
        self._cells: dict[str, Any] = {}
        self._tensors: dict[str, Mapping[str, Tensor]] = {}
        if folder is None:
            return
        lines = folder / _LINES
        if folder.exists() and any(folder.iterdir()) and not lines.is_file():
            raise ConfigError(
                f"{folder}: is not the folder of a stopped benchmark. Move it away, or name another --out."
            )
        self._cells |= _read(lines) if lines.is_file() else ()

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
        # The line break comes first: it ends a line that was being written when the program was stopped.
        line = b"\n" + json.dumps({"key": key, "cell": value}).encode()
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LINES).open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

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
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / _LINES).touch()
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        write_bytes(self._folder / f"{key}.safetensors", save(contiguous))

    def clear(self) -> None:
        """Delete everything, with the folder: the benchmark is finished."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._cells.clear()
        self._tensors.clear()


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _read(path: Path) -> list[tuple[str, Any]]:
    found = []
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
            found.append((entry["key"], entry["cell"]))
        except (ValueError, KeyError, TypeError):
            continue  # it was being written when the program was stopped
    return found
