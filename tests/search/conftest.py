"""A predictor with a cheap fit, one with a dear fit, and searches on a tiny pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from lesa_framework import AffinePredictor, ConfigPath, Filter, Fit, FitTask, PredictorConfig, Progress, TrainingConfig
from lesa_framework.artifacts import load_artifact
from lesa_framework.config.loading import load_config
from lesa_framework.plugin.manager import plugins
from lesa_framework.search.prompts import divided
from lesa_framework.search.run import Found, SearchProgress, search
from lesa_framework.search.search import Limit
from lesa_framework.search.trial import guide_of
from lesa_framework.training import drift_db

CALL = {"height": 16, "width": 16, "max_sequence_length": 8, "true_cfg_scale": 3.0, "negative_prompt": ""}
PROMPTS = ["a red ring", "a blue square", "a star", "a cyan star", "a ring", "a red star"]

FEW = Limit(tries=6)


class Gain(AffinePredictor):
    """Reuse, times a number."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def filter(self, entries, ctx) -> Filter:
        return Filter((self.gain,))


class GainFit(Fit):
    """The closest of some numbers, in closed loop."""

    def __init__(self, task: FitTask, gains: tuple[float, ...]) -> None:
        self.predictor = self._gain = Gain()
        self._task, self._gains, self._db = task, gains, -1e9

    def run(self) -> Iterator[Progress]:
        for number, gain in enumerate(self._gains, start=1):
            closeness = [
                drift_db(self._task.rollout(batch, Gain(gain)), self._task.uncached(batch))
                for batch in self._task.batches
            ]
            if sum(closeness) / len(closeness) > self._db:
                self._db, self._gain.gain = sum(closeness) / len(closeness), gain
            yield Progress("gains", number, len(self._gains), drift_db=self._db)

    def tensors(self) -> dict[str, Tensor]:
        return {"gain": torch.tensor([self._gain.gain])}


class GainTraining(TrainingConfig):
    gains: tuple[float, ...] = (0.9, 0.95, 1.0, 1.05)


class DearConfig(PredictorConfig):
    """Its fit is not cheap, it says."""

    training_config: ClassVar = GainTraining
    kind: Literal["dear"] = "dear"
    weights: ConfigPath | None = None

    def build(self) -> Gain:
        return Gain(float(load_artifact(self.weights, self.kind).tensor("gain", (1,)))) if self.weights else Gain()

    def fit(self, task: FitTask) -> GainFit:
        return GainFit(task, task.settings.gains)


class GainConfig(DearConfig):
    """Two gains for candidates, all of them at the end."""

    kind: Literal["gain"] = "gain"

    def quick(self, settings: TrainingConfig) -> GainTraining:
        return GainTraining(**{**settings.model_dump(), "gains": (0.95, 1.0)})


@pytest.fixture(autouse=True)
def gains(monkeypatch: pytest.MonkeyPatch) -> None:
    items = plugins().registry.predictors._items
    monkeypatch.setitem(items, "gain", (GainConfig, "tests"))
    monkeypatch.setitem(items, "dear", (DearConfig, "tests"))


def run(
    pipe: Any, out: Path, predictor: str = "gain", *, nfe: int = 3, limit: Limit = FEW,
    guide: str | None = None, overrides: tuple[str, ...] = (), seen: list[SearchProgress] | None = None,
) -> Found:  # fmt: skip
    raw = {
        "schedule": {"kind": "steps", "compute": [0]},
        "predictor": {"kind": predictor},
        "training": {"num_steps": 8, "batch": 2},
    }
    config = load_config(raw, overrides).model_copy(update={"name": "mine"})
    guiding = guide_of(config, guide)
    prompts = divided(PROMPTS, 2, config.training.seed, fits=guiding.predictor.has_fit())
    show = [].append if seen is None else seen.append
    return search(config, guiding, pipe, CALL, prompts, nfe, out, limit, show)
