"""Finished parts of a benchmark, found by everything that they depend on: on disk at once, or only in memory."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from lesa_framework.config.loading import dump_config
from lesa_framework.errors import ConfigError
from lesa_framework.files import append_line, write_bytes
from lesa_framework.measure.cells import Cell
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.tasks import Benchmark, Task

_LINES: Final = "cells.jsonl"
#: Files of tensors, also those that were being written when the program was stopped.
_TENSORS: Final = re.compile(r"[0-9a-f]{24}\.safetensors|\.lesa-[0-9a-f]+\.partial")


class Store:
    """A folder with a line for each finished cell, and a file for the tensors of those that have some.

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

    def find(self, identity: Mapping[str, Any]) -> Cell | None:
        """A finished cell; None when there is none, or when another version wrote it in another form."""
        found = self._cells.get(_digest(identity))
        try:
            return None if found is None else Cell.model_validate(found)
        except ValidationError:
            return None

    def find_tensors(self, identity: Mapping[str, Any]) -> dict[str, Tensor] | None:
        """The tensors of a finished cell; None when there are none, or they are damaged."""
        key = _digest(identity)
        if self._folder is None:
            return dict(self._tensors[key]) if key in self._tensors else None
        path = self._folder / f"{key}.safetensors"
        try:
            return load_file(path) if path.is_file() else None
        except SafetensorError:  # a machine that lost its power may leave an empty file
            return None

    def keep(self, identity: Mapping[str, Any], cell: Cell, tensors: Mapping[str, Tensor] | None = None) -> None:
        """Store a finished cell, and the tensors that belong to it: they are there before the cell is."""
        key, value = _digest(identity), cell.model_dump(mode="json", exclude_defaults=True)
        if self._folder is None:
            self._tensors |= {} if tensors is None else {key: tensors}
        else:
            if tensors is not None:
                append_line(self._folder / _LINES, b"")  # marks the folder as ours before anything else is in it
                contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
                write_bytes(self._folder / f"{key}.safetensors", save(contiguous))
            append_line(self._folder / _LINES, json.dumps({"key": key, "cell": value}).encode())
        self._cells[key] = value

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


def identity_of_task(task: Task, environment: Mapping[str, str]) -> dict[str, Any]:
    """What all measurements of a model depend on, versions and machine included."""
    folder = Path(task.source.location)
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return {
        "model": task.source.name,
        "files": [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files],
        "settings": task.settings.model_dump(mode="json"),
        "environment": dict(environment),
    }


def identity_of_benchmark(bench: Benchmark, only: Sequence[str], machine: Mapping[str, str]) -> str:
    """A hash of everything that a benchmark's results depend on and that is known before a model is loaded."""
    tasks = [
        {
            **identity_of_task(task, machine),
            "methods": [identity_of_method(each) for each in task.caches],
            "pairs": [(pair.prompt, pair.seed) for pair in task.pairs],
            "spec": task.spec.model_dump(mode="json"),
        }
        for task in bench.tasks
    ]
    return _digest({"tasks": tasks, "only": list(only)})


def identity_of_method(contender: Contender) -> dict[str, Any]:
    """A method with all its settings, trained weights included; those of a peer that is searched are chosen later."""
    found: dict[str, Any] = {"name": contender.name, "num_steps": contender.num_steps}
    if contender.config is not None:
        paths = [value for _, value in contender.config.predictor if isinstance(value, Path) and value.is_file()]
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
        found |= {"config": dump_config(contender.config), "weights": digests}
    if contender.steps is not None:
        found |= {"steps": list(contender.steps)}
    return found
