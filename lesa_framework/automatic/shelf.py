"""Where fitted weights are looked for: shipped presets, and a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from lesa_framework.artifacts import ArtifactMetadata, load_metadata
from lesa_framework.building import build_strategy
from lesa_framework.config.loading import load_config
from lesa_framework.config.repository import CONFIG
from lesa_framework.config.schema import LesaConfig
from lesa_framework.devices import check_place
from lesa_framework.errors import ConfigError, LesaError, shown
from lesa_framework.files import expanded, is_folder
from lesa_framework.plugin.manager import plugins
from lesa_framework.runtime.strategy import Strategy
from lesa_framework.warning import warn

#: The environment variable that names the folder.
VARIABLE: Final = "LESA_WEIGHTS"
#: The folder when nobody names one.
DEFAULT_FOLDER: Final = Path("~/.cache/lesa/weights")
#: The source of weights that a plugin ships.
PRESET: Final = "preset"
#: How deep folders with a configuration lie: `name`, or `owner/name`.
_DEPTHS: Final = ("*", "*/*")
#: How `lesa train` ends the name of its state, which is no predictor.
_CHECKPOINT: Final = ".checkpoint"


@dataclass(frozen=True, eq=False)
class Weights:
    """A configuration with weights. What they were made for is known; the weights themselves are read when needed.

    Attributes:
        config: The configuration that names them.
        metadata: What they were made for.
        source: `preset`, or the folder.
    """

    config: LesaConfig
    metadata: ArtifactMetadata
    source: str

    @property
    def name(self) -> str:
        """The preset's or the file's name."""
        return self.config.name

    @property
    def drift_db(self) -> float | None:
        """How close it came to the uncached run when it was fitted, in dB; None when that was not measured."""
        drift = self.metadata.training.get("drift_db")
        try:
            return float(drift) if isinstance(drift, int | float) else None
        except OverflowError:  # a whole number in JSON may be of any length
            return None

    @cached_property
    def strategy(self) -> Strategy:
        """What it asks for.

        Raises:
            LesaError: It cannot be built, or this machine lacks a device.
        """
        strategy = build_strategy(self.config)
        check_place(strategy.history)
        return strategy


def find_weights(folder: str | Path | None = None) -> list[Weights]:
    """All weights in shipped presets and in a folder. What cannot be read is left out; of a folder, with a warning.

    Args:
        folder: Configurations (`*.yaml`) beside their weights, as `lesa train` writes them; weights alone, which hold
            their configuration; and folders that `save_pretrained` wrote or that were pulled from a hub, each by a name
            or as `owner/name`. By default what the environment variable `LESA_WEIGHTS` names, or else
            `~/.cache/lesa/weights`, which need not exist.

    Raises:
        ConfigError: The folder that was named does not exist.
    """
    place = _folder(folder)
    presets = [*_read(plugins().registry.presets.items().values(), PRESET)]
    if place is None:
        return presets
    folders = sorted(file.parent for depth in _DEPTHS for file in place.glob(f"{depth}/{CONFIG}"))
    found = [*_read([*sorted(place.glob("*.yaml")), *folders], str(place))]
    return [*presets, *found, *_read(_alone(place, found), str(place))]


def _alone(place: Path, found: Iterable[Weights]) -> list[Path]:
    """Weights that no configuration names."""
    named = {file.resolve() for weights in found if (file := weights.config.predictor.weights_file) is not None}
    files = (file for file in sorted(place.glob("*.safetensors")) if not file.stem.endswith(_CHECKPOINT))
    return [file for file in files if file.resolve() not in named and not file.with_suffix(".yaml").exists()]


def _folder(named: str | Path | None) -> Path | None:
    given: object = named  # notebooks have no type checker
    if not isinstance(given, str | Path | None):
        raise ConfigError(f"weights: {shown(given)} is no folder. Give its path.")
    name = named if named is not None else os.environ.get(VARIABLE)
    if not name and named is None:
        default = expanded(DEFAULT_FOLDER)
        return default if is_folder(default) else None
    folder = expanded(name or "")
    if not name or not is_folder(folder):
        what = "weights" if named is not None else VARIABLE
        raise ConfigError(
            f"{what}: there is no folder '{name}'. Name one with configurations and their weights, as `lesa train` "
            "writes them, or leave it out."
        )
    return folder


def _read(files: Iterable[Path], source: str) -> Iterator[Weights]:
    for file in files:
        try:
            config = load_config(file)
            if config.predictor.weights_file is not None:
                yield Weights(config, load_metadata(config.predictor.weights_file), source)
        except LesaError as error:
            if source != PRESET:  # a preset may be for a plugin that is not installed, which nobody missed
                warn(f"weights: {file.name} is left out: {error}")
