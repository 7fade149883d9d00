"""Finished parts of a benchmark, found by everything that they depend on: on disk at once, or only in memory."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch
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
from lesa_framework.pipelines import hub_commit, pipeline_files
from lesa_framework.processes import ALONE, World

#: A process writes its cells to a file of its own, because not every disk keeps two writers' lines apart.
_LINES: Final = re.compile(r"cells(-\d+)?\.jsonl")
#: Files of tensors, also those that were being written when the program was stopped.
_TENSORS: Final = re.compile(r"[0-9a-f]{24}\.safetensors|\.lesa-[0-9a-f]+\.partial")


class Store:
    """A folder with a line for each finished cell, and a file for the tensors of those that have some.

    A cell is found by what it was measured with (model, method, prompts, versions, machine): change that, and it is
    measured again, while the others stay.

    Args:
        folder: Where to keep them; only in memory, for this run alone, if None. Processes share it.
        world: The processes that measure together, each with a store of its own.

    Raises:
        ConfigError: The folder exists and holds something else.
    """

    def __init__(self, folder: Path | None = None, world: World = ALONE) -> None:
        self._folder = None if folder is None else folder.resolve()
        self._world, self._lines = world, f"cells-{world.rank}.jsonl" if world.rank else "cells.jsonl"
        self._cells: dict[str, Any] = {}
        self._failed: dict[str, Any] = {}
        self._unasked = set[str]()  # cells of an earlier launch that nobody has looked for yet
        self._news: list[bytes] = []
        self._tensors: dict[str, Mapping[str, Tensor]] = {}
        if self._folder is None or not self._folder.exists():
            return
        there = sorted(self._folder.iterdir()) if self._folder.is_dir() else [self._folder]
        lines = [path for path in there if path.parent == self._folder and _LINES.fullmatch(path.name)]
        for path in lines:
            self._cells |= _read(path.read_bytes())
        if there and not lines:
            raise ConfigError(
                f"{folder}: is not the folder of a stopped benchmark. Move it away, or name another --out."
            )
        self._unasked = set(self._cells)

    def __len__(self) -> int:
        """Finished cells."""
        return len(self._cells)

    @property
    def is_used_up(self) -> bool:
        """Whether every cell of an earlier launch was looked for in this one."""
        return not self._unasked

    def find(self, identity: Mapping[str, Any]) -> Cell | None:
        """A cell, finished or failed in this launch; None when there is none, or another version wrote another form."""
        key = _digest(identity)
        self._unasked.discard(key)
        found = self._cells.get(key, self._failed.get(key))
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
                append_line(self._folder / self._lines, b"")  # marks the folder as ours before anything else is in it
                contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
                write_bytes(self._folder / f"{key}.safetensors", save(contiguous))
            append_line(self._folder / self._lines, _line(key, value))
        self._cells[key] = value
        self._tell(key, value)

    def fail(self, identity: Mapping[str, Any], cell: Cell) -> None:
        """Remember a cell that failed, in this launch alone: the next one tries again."""
        key, value = _digest(identity), cell.model_dump(mode="json", exclude_defaults=True)
        self._failed[key] = value
        self._tell(key, value)

    def exchange(self) -> None:
        """Know of every cell, without its tensors, that any process has measured since the last exchange.

        Raises:
            LesaError: Another process ended.
        """
        mine = torch.frombuffer(bytearray(b"\n".join([*self._news, b"\n"])), dtype=torch.uint8)
        self._news.clear()
        if self._world.size > 1:
            for key, value in _read(self._world.rows(mine).numpy().tobytes()):
                (self._cells if value.get("error") is None else self._failed)[key] = value

    def _tell(self, key: str, value: Any) -> None:
        if self._world.size > 1:
            self._news.append(_line(key, value))

    def clear(self) -> None:
        """Delete everything, with the folder unless it holds something else: the benchmark is finished."""
        if self._folder is not None and self._folder.exists():
            for path in self._folder.iterdir():
                if _LINES.fullmatch(path.name) or _TENSORS.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            with suppress(OSError):
                self._folder.rmdir()
        for known in (self._cells, self._tensors, self._failed, self._unasked, self._news):
            known.clear()


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _line(key: str, value: Any) -> bytes:
    return json.dumps({"key": key, "cell": value}).encode()


def _read(lines: bytes) -> list[tuple[str, Any]]:
    found = []
    for line in lines.splitlines():
        try:
            entry = json.loads(line)
            found.append((str(entry["key"]), entry["cell"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # it was being written when the program was stopped
    return found


def identity_of_task(task: Task, environment: Mapping[str, str]) -> dict[str, Any]:
    """What all measurements of a model depend on: versions, the machine, and the model as far as it is here."""
    folder = Path(task.source.location)
    return {
        "model": task.source.name,
        "files": pipeline_files(folder) if folder.is_dir() else [],
        "commit": hub_commit(task.source),
        "settings": task.settings.model_dump(mode="json"),
        "environment": dict(environment),
    }


def identity_of_benchmark(bench: Benchmark, only: Sequence[str], machine: Mapping[str, str]) -> str:
    """A hash of everything that a benchmark's results depend on, as far as it is known.

    The commit of a hub's model is not, before the model was fetched once.
    """
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
        found |= {"config": dump_config(contender.config), "weights": list(contender.weights)}
    if contender.steps is not None:
        found |= {"steps": list(contender.steps)}
    return found
