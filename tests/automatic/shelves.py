"""Weights for tiny models, in memory and in folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from lesa_fitted.table import TableShape
from lesa_framework import AffinePredictor, Filter, LesaConfig, PredictorConfig, RunInfo, Tap, load_config
from lesa_framework.artifacts import Artifact, ArtifactMetadata, save_artifact
from lesa_framework.automatic.budget import Budget
from lesa_framework.automatic.chooser import Chooser
from lesa_framework.automatic.setup import prepare
from lesa_framework.automatic.shelf import Weights
from lesa_framework.model_info import describe_model
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, even_grid
from lesa_kan.experts import ExpertShape

#: A quarter of twelve steps.
STEPS = (0, 4, 8)


class Hold(AffinePredictor):
    """Keeps the newest feature; whether it serves other grids is as the test says."""

    def __init__(self, carries_over: bool) -> None:
        self.carries_over = carries_over

    def filter(self, entries, ctx):
        return Filter((1.0,))


class HoldConfig(PredictorConfig):
    kind: Literal["hold"] = "hold"
    carries_over: bool = False

    def build(self) -> Hold:
        return Hold(self.carries_over)


def run_of(model: nn.Module | None = None, num_steps: int = 12, **changes: Any) -> RunInfo:
    """A run of a tiny pipeline."""
    info = describe_model(model or TinyDiT(), TinyDiTAdapter.blocks)
    return replace(RunInfo(even_grid(num_steps), "tiny", Tap.PRE_HEAD, (info,), (6, 4)), **changes)


def metadata_of(run: RunInfo, drift_db: float | None = 20.0, **given: Any) -> ArtifactMetadata:
    """The metadata of weights that were fitted in a run."""
    return ArtifactMetadata(
        **{"kind": "hold", "settings": {}, **given},
        sigmas=run.sigmas,
        backbone=run.backbone,
        tap=run.tap,
        models=run.models,
        latent_shape=run.latent_shape,
        guidance=run.guidance,
        training={} if drift_db is None else {"drift_db": drift_db},
    )


def weights(
    name: str = "mine", run: RunInfo | None = None, *, compute=STEPS, drift_db: float | None = 20.0,
    carries_over: bool = False, source: str = "preset",
) -> Weights:  # fmt: skip
    """Weights in memory."""
    raw = load_config({"schedule": {"kind": "steps", "compute": list(compute)}, "predictor": {"kind": "reuse"}})
    config = LesaConfig(
        schedule=raw.schedule, router=raw.router, predictor=HoldConfig(carries_over=carries_over), name=name,
        training=raw.training,
    )  # fmt: skip
    return Weights(config, metadata_of(run or run_of(), drift_db), source)


def chooser(*shelf: Weights, speedup: float = 4.0) -> Chooser:
    """A chooser with these weights alone."""
    found, config = prepare(speedup)
    return Chooser(Budget(speedup), shelf, config, found._fallback)


def put_fitted(folder: Path, name: str, run: RunInfo) -> Path:
    """Write weights of `fitted` for a run, which hold the newest feature, and the configuration beside them."""
    folder.mkdir(exist_ok=True)
    shape = TableShape(len(run.sigmas) - 1, STEPS, 1, ("cond",))
    metadata = metadata_of(run, kind="fitted", settings=shape.as_json())
    save_artifact(folder / f"{name}.safetensors", Artifact(metadata, {"weights": torch.ones(shape.size)}))
    config = folder / f"{name}.yaml"
    config.write_text(
        f"schedule: {{kind: steps, compute: {list(STEPS)}}}\npredictor: {{kind: fitted, weights: {name}.safetensors}}\n"
    )
    return config


def put(folder: Path, name: str, run: RunInfo, *, compute=STEPS, drift_db: float | None = 20.0) -> Path:
    """Write LESA's weights for a run and the configuration beside them, as `lesa train` does; returns the latter."""
    folder.mkdir(exist_ok=True)
    shape = ExpertShape(len(run.sigmas) - 1, (1,), (4,))
    tensors = {key: torch.zeros(size) for key, size in shape.tables().items()}
    metadata = metadata_of(run, drift_db, kind="lesa", settings=shape.as_json())
    save_artifact(folder / f"{name}.safetensors", Artifact(metadata, tensors))
    config = folder / f"{name}.yaml"
    config.write_text(
        f"schedule: {{kind: steps, compute: {list(compute)}}}\n"
        f"predictor: {{kind: lesa, weights: {name}.safetensors}}\n"
        f"backbone: {{kind: auto, tap: {run.tap}}}\n"
    )
    return config
