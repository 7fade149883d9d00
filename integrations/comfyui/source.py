"""What a user chose: a configuration or an artifact with its cache, or a speed-up that finds one at each run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

import lesa_framework as lesa
from lesa_framework import Host, LesaConfig, Session, Strategy

#: Endings of the files that can be chosen.
_CONFIGURATION, _ARTIFACT = ".yaml", ".safetensors"
#: The configuration of a folder that `save_pretrained` wrote.
_IN_FOLDER = "config.yaml"
#: How `lesa train` ends the name of its state, which is no predictor.
_CHECKPOINT = ".checkpoint.safetensors"


class Source(Protocol):
    """Makes a session for a run."""

    def session(self, model: nn.Module, host: Host) -> Session:
        """Put the cache into a model."""


@dataclass(frozen=True)
class Chosen:
    """A configuration, read once."""

    config: LesaConfig
    strategy: Strategy

    def session(self, model: nn.Module, host: Host) -> Session:
        """Put the cache into a model."""
        backbone = self.config.backbone
        return lesa.attach_strategy(model, self.strategy, backbone, backbone.tap, host=host)


@dataclass(frozen=True)
class BySpeedup:
    """The best cache for each run."""

    speedup: float

    def session(self, model: nn.Module, host: Host) -> Session:
        """Put the cache into a model."""
        return lesa.accelerate(model, speedup=self.speedup, host=host)


def chosen(name: str | Path) -> Chosen:
    """A configuration by its file, its preset's name, or the artifact that was trained with it.

    Raises:
        ConfigError: It is not valid, or there is none.
        ArtifactError: The weights cannot be used.
    """
    config = lesa.load_config(name)
    return Chosen(config, lesa.build_strategy(config))


def read_at(name: str | Path) -> tuple[int, ...]:
    """When a configuration's file and that of its weights were written, in nanoseconds.

    Nothing for names that are neither a file nor a folder with a configuration.
    """
    file = Path(name) / _IN_FOLDER if Path(name).is_dir() else Path(name)
    if not file.is_file():
        return ()
    files = dict.fromkeys((file, _weights(name)))
    return tuple(file.stat().st_mtime_ns for file in files if file is not None and file.is_file())


def files_in(folders: Iterable[str | Path]) -> dict[str, Path]:
    """What can be chosen: name -> file.

    Weights are left out where a configuration names them or has their name, and so is the state of a training.
    """
    found: dict[str, Path] = {}
    for folder in map(Path, folders):
        files = sorted(_below(folder))
        configurations = [file for file in files if file.suffix == _CONFIGURATION]
        named = {weights.resolve() for file in configurations if (weights := _weights(file)) is not None}
        lone = [file for file in files if _is_artifact(file) and file.resolve() not in named]
        for file in sorted([*configurations, *lone]):
            found.setdefault(file.relative_to(folder).as_posix(), file)
    return found


def _below(folder: Path, around: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files of a folder, behind links too, as ComfyUI looks for models; not behind a link to a folder around it."""
    real = folder.resolve()
    if real in around:
        return
    _, folders, names = next(os.walk(folder), ("", [], []))  # nothing for a folder that is not there or not readable
    yield from (folder / name for name in names)
    for name in folders:
        yield from _below(folder / name, (*around, real))


def _is_artifact(file: Path) -> bool:
    is_left = file.name.endswith(_CHECKPOINT) or file.with_suffix(_CONFIGURATION).exists()
    return file.suffix == _ARTIFACT and not is_left


def _weights(name: str | Path) -> Path | None:
    """The file of weights that a configuration names, if it does."""
    try:
        return lesa.load_config(name).predictor.weights_file
    except lesa.LesaError:  # it is told when the node is run
        return None
