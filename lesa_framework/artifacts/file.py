"""Artifacts as files: safetensors with JSON metadata in the header."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lesa_framework.artifacts.artifact import Artifact, first_problem
from lesa_framework.artifacts.metadata import SCHEMA_VERSION, ArtifactMetadata
from lesa_framework.errors import ArtifactError
from lesa_framework.files import write_bytes

_READABLE = (1, SCHEMA_VERSION)
#: What every version of torch computes with; the 8-bit and smaller ones, and complex numbers, are no weights.
_DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)


class _Version(BaseModel):
    schema_version: int = SCHEMA_VERSION


def save_artifact(path: Path, artifact: Artifact) -> None:
    """Write an artifact, all or nothing."""
    # Clones, because safetensors refuses tensors that share memory.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in artifact.tensors.items()}
    write_bytes(path, save(tensors, metadata={"lesa": artifact.metadata.model_dump_json()}))


def load_metadata(path: Path) -> ArtifactMetadata:
    """Read what an artifact was made for; its tensors stay on the disk.

    Args:
        path: The safetensors file.

    Raises:
        ArtifactError: The file is missing, damaged or of another schema.
    """
    return _metadata(path, _read(path, with_tensors=False)[0])


def load_artifact(path: Path, kind: str | None = None) -> Artifact:
    """Read an artifact.

    Args:
        path: The safetensors file.
        kind: The predictor kind it must be of; any when None.

    Returns:
        An artifact whose tensors hold finite numbers. Whether it has the right ones, of the right shapes, its
        predictor asks with [`Artifact.tensor`][lesa_framework.artifacts.Artifact.tensor].

    Raises:
        ArtifactError: The file is missing, damaged, of another schema or for another predictor.
    """
    header, tensors = _read(path)
    metadata = _metadata(path, header)
    if kind is not None and metadata.kind != kind:
        raise ArtifactError(
            f"{path}: holds weights of '{metadata.kind}', not of '{kind}'. Set predictor.kind to match."
        )
    for name, tensor in tensors.items():
        problem = _problem(tensor)
        if problem is not None:
            raise ArtifactError(f"{path}: '{name[:80]}' {problem}. Train it again.")
    return Artifact(metadata, tensors)


def _problem(tensor: Tensor) -> str | None:
    if tensor.dtype not in _DTYPES:
        return f"is of {tensor.dtype}, which no predictor writes"
    return None if bool(tensor.isfinite().all()) else "has numbers that are not finite"


def _read(path: Path, *, with_tensors: bool = True) -> tuple[str | None, dict[str, Tensor]]:
    try:
        if not path.is_file():
            raise ArtifactError(
                f"{path}: no such weights file. Check the path (predictor.weights in a "
                "configuration), or train one with `lesa train --config ... --out DIR`."
            )
        with safe_open(path, "pt") as file:
            header: str | None = (file.metadata() or {}).get("lesa")
            names = file.keys() if with_tensors else ()
            return header, {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        # A damaged header may be quoted in full.
        raise ArtifactError(
            f"{path}: damaged or not a safetensors file ({str(error)[:200]}). Copy or train it again."
        ) from error


def _metadata(path: Path, header: str | None) -> ArtifactMetadata:
    if header is None:
        raise ArtifactError(f"{path}: a safetensors file, but not one that `lesa train` wrote.")
    try:
        content = from_json(header, allow_inf_nan=False)
        # The version first: a later schema may have fields that this one takes for damage.
        version = _Version.model_validate(content).schema_version
        metadata = ArtifactMetadata.model_validate(content) if version in _READABLE else None
    except ValueError as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else str(error)[:200]
        raise ArtifactError(f"{path}: its metadata is damaged ({problem}). Train it again.") from error
    if metadata is None:
        raise ArtifactError(
            f"{path}: has schema version {version}, this version reads up to {SCHEMA_VERSION}. Train it again."
        )
    return metadata
