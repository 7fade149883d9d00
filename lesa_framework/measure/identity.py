"""Everything that a measurement depends on: when any of it changes, the measurement is repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lesa_framework.config.loading import dump_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.results import Pair
from lesa_framework.measure.tasks import Task


class Identities:
    """Names the parts of one model's measurement, for the store.

    Args:
        task: What is measured.
        environment: Versions and machine.
        metrics: What images are scored by.
    """

    def __init__(self, task: Task, environment: Mapping[str, str], metrics: Sequence[str]) -> None:
        self._task, self._metrics = task, list(metrics)
        folder = Path(task.source.location)
        files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
        self._model = {
            "model": task.source.name,
            "files": [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files],
            "settings": task.settings.model_dump(mode="json"),
            "environment": dict(environment),
        }

    def of(
        self, part: str, contender: Contender, group: Sequence[Pair], settings: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """The identity of one part.

        Args:
            part: What it is: a choice, a probe, a run, ...
            contender: Of which method.
            group: On which prompts and seeds.
            settings: Of peers, what they were set to.
        """
        scored = {"metrics": self._metrics, "images": self.images_kept(group)} if part == "run" else {}
        return {
            **self._model,
            **scored,
            "part": part,
            "method": _of_contender(contender, settings),
            "pairs": [(pair.prompt, pair.seed) for pair in group],
        }

    def images_kept(self, group: Sequence[Pair]) -> int:
        """How many pairs of a batch, from its first, have their images kept."""
        return max(0, self._task.images - self._task.pairs.index(group[0]))


def _of_contender(contender: Contender, settings: Mapping[str, object] | None) -> dict[str, Any]:
    """A method with all its settings, trained weights included."""
    found: dict[str, Any] = {"name": contender.name, "num_steps": contender.num_steps}
    if contender.config is not None:
        found |= {"config": dump_config(contender.config), "weights": _weights(contender.config)}
    if settings is not None:
        found["settings"] = dict(settings)
    return found


def _weights(config: LesaConfig) -> list[str]:
    paths = [value for _, value in config.predictor if isinstance(value, Path)]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()]
