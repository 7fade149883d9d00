"""Finished parts of a benchmark, on disk from the moment they are finished."""

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


class Store:
    """A folder with a line for each finished cell, and a file for each group of tensors.

    A cell is found by what it was measured with (model, method, prompts, versions, machine): change that, and it is
    measured anew, while the others stay.

    Raises:
        ConfigError: The folder is there and holds something else.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lines = folder, folder / "cells.jsonl"
        if folder.exists() and any(folder.iterdir()) and not self._lines.is_file():
            raise ConfigError(
                f"{folder}: is not the folder of a stopped benchmark. Move it away, or name another --out."
            )
        self._cells = dict(_read(self._lines)) if self._lines.is_file() else {}

    def __len__(self) -> int:
        """Finished cells."""
        return len(self._cells)

    def find(self, identity: Mapping[str, Any], kind: type[Cell]) -> Cell | None:
        """A finished cell; None when it is not, or when another version wrote it in another form."""
        found = self._cells.get(_digest(identity))
        try:
            return None if found is None else kind.model_validate(found)
        except ValidationError:
            return None

    def keep(self, identity: Mapping[str, Any], cell: BaseModel) -> None:
        """Write a finished cell down."""
        key, value = _digest(identity), cell.model_dump(mode="json")
        # The line break comes first: it ends what was being written when the program was stopped.
        line = b"\n" + json.dumps({"key": key, "cell": value}).encode()
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lines.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._cells[key] = value

    def find_tensors(self, identity: Mapping[str, Any]) -> dict[str, Tensor] | None:
        """Tensors that were kept; None when they were not, or are damaged."""
        path = self._path(identity)
        try:
            return load_file(path) if path.is_file() else None
        except SafetensorError:  # a machine that lost its power may leave an empty file
            return None

    def keep_tensors(self, identity: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Write tensors down, all or nothing."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lines.touch()
        write_bytes(self._path(identity), save({name: tensor.contiguous() for name, tensor in tensors.items()}))

    def clear(self) -> None:
        """Remove the folder: the benchmark is finished."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._cells.clear()

    def _path(self, identity: Mapping[str, Any]) -> Path:
        return self._folder / f"{_digest(identity)}.safetensors"


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
