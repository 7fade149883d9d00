"""What a measurement depends on: where any of it changes, the measurement is made anew."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lesa_framework.config.loading import dump_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.generation import GenerationSettings
from lesa_framework.measure.contenders import Contender
from lesa_framework.measure.rows import Pair
from lesa_framework.pipelines import ModelSource


def of_model(source: ModelSource, settings: GenerationSettings, environment: Mapping[str, str]) -> dict[str, Any]:
    """The model, how it is called, and where."""
    folder = Path(source.location)
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    stamps = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return {
        "model": source.name,
        "files": stamps,
        "settings": settings.model_dump(mode="json"),
        "environment": dict(environment),
    }


def of_contender(contender: Contender, peer_settings: Mapping[str, object] | None = None) -> dict[str, Any]:
    """A method with everything that was chosen, its trained weights included."""
    found: dict[str, Any] = {"name": contender.name, "num_steps": contender.num_steps}
    if contender.config is not None:
        found |= {"config": dump_config(contender.config), "weights": _weights(contender.config)}
    if peer_settings is not None:
        found["settings"] = dict(peer_settings)
    return found


def of_pairs(pairs: Sequence[Pair]) -> list[tuple[str, int]]:
    """Prompts and seeds."""
    return [(pair.prompt, pair.seed) for pair in pairs]


def _weights(config: LesaConfig) -> list[str]:
    paths = [value for _, value in config.predictor if isinstance(value, Path)]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()]
