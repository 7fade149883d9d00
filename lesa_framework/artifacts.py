"""Trained predictors on disk: one safetensors file, its metadata as JSON in the header. No pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lesa_framework.errors import ArtifactError
from lesa_framework.files import write_bytes
from lesa_framework.types import RunInfo, Tap

__all__ = ["Artifact", "ArtifactMetadata", "check_run", "load_artifact", "same_grid", "save_artifact"]

SCHEMA_VERSION = 1
#: How far two grids' noise levels may differ and still be the same grid.
_GRID_TOLERANCE = 1e-4


class _Version(BaseModel):
    schema_version: int = SCHEMA_VERSION


class ArtifactMetadata(BaseModel):
    """What an artifact was made for, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    kind: str
    """The predictor's `kind`."""
    settings: dict[str, Any]
    """The predictor's own shape (for LESA: taps, stages, layers)."""
    sigmas: tuple[float, ...]
    """The grid it was trained for, the final 0 included."""
    backbone: str
    """Kind of the adapter."""
    tap: Tap
    """The tap where its features are taken."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The whole configuration it was trained with."""
    training: dict[str, Any] = Field(default_factory=dict)
    """The log of the training."""


@dataclass(frozen=True)
class Artifact:
    """Weights, and what they were made for."""

    metadata: ArtifactMetadata
    tensors: dict[str, Tensor]


def save_artifact(path: Path, artifact: Artifact) -> None:
    """Write an artifact, all or nothing."""
    # Clones, because safetensors refuses tensors that share memory.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in artifact.tensors.items()}
    write_bytes(path, save(tensors, metadata={"lesa": artifact.metadata.model_dump_json()}))


def load_artifact(path: Path, kind: str | None = None) -> Artifact:
    """Read an artifact.

    Args:
        path: The safetensors file.
        kind: The predictor kind it must be of; any when None.

    Raises:
        ArtifactError: The file is missing, damaged, of another schema or for another predictor.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: no such weights file. Train one with `lesa train --config ... --out DIR`.")
    try:
        with safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get("lesa")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: damaged or not a safetensors file ({error}). Copy or train it again.") from error
    if header is None:
        raise ArtifactError(f"{path}: a safetensors file, but not one that `lesa train` wrote.")
    try:
        # The version first: a later schema may have fields that this one takes for damage.
        version = _Version.model_validate_json(header).schema_version
        metadata = ArtifactMetadata.model_validate_json(header) if version == SCHEMA_VERSION else None
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: its metadata is damaged ({error.error_count()} errors). Train it again."
        ) from error
    if metadata is None:
        raise ArtifactError(
            f"{path}: has schema version {version}, this version reads {SCHEMA_VERSION}. Train it again."
        )
    if kind is not None and metadata.kind != kind:
        raise ArtifactError(
            f"{path}: holds weights of '{metadata.kind}', not of '{kind}'. Set predictor.kind to match."
        )
    return Artifact(metadata, tensors)


def same_grid(ours: tuple[float, ...], theirs: tuple[float, ...]) -> bool:
    """Whether two grids have the same length and noise levels."""
    return len(ours) == len(theirs) and all(abs(a - b) <= _GRID_TOLERANCE for a, b in zip(ours, theirs, strict=True))


def check_run(metadata: ArtifactMetadata, run: RunInfo, *, any_grid: bool = False, remedy: str = "") -> None:
    """Refuse a run that the artifact was not made for.

    Args:
        metadata: The artifact's.
        run: The run's.
        any_grid: Accept other noise levels, as long as there are as many.
        remedy: What else the predictor offers for other noise levels, for the message: "set predictor.x=true".

    Raises:
        ArtifactError: Backbone, tap or grid differ.
    """
    if run.backbone != metadata.backbone:
        raise ArtifactError(
            f"predictor.weights: trained for backbone '{metadata.backbone}', but this model is '{run.backbone}'. "
            "Train weights for it with `lesa train`."
        )
    if run.tap != metadata.tap:
        raise ArtifactError(
            f"predictor.weights: trained at tap '{metadata.tap}', but the run taps '{run.tap}'. "
            f"Set backbone.tap to '{metadata.tap}', or train again."
        )
    steps, trained = len(run.sigmas) - 1, len(metadata.sigmas) - 1
    if steps != trained:
        raise ArtifactError(
            f"predictor.weights: trained for {trained} steps, but the run has {steps}. "
            f"Run {trained} steps, or train again with `--set training.num_steps={steps}`."
        )
    if not any_grid and not same_grid(run.sigmas, metadata.sigmas):
        other = f", {remedy}," if remedy else ","
        worst = max(abs(a - b) for a, b in zip(run.sigmas, metadata.sigmas, strict=True))
        raise ArtifactError(
            f"predictor.weights: trained for another sigma grid of {trained} steps (noise levels differ by up to "
            f"{worst:.3f}). Use the scheduler settings of the training{other} or train again."
        )
