"""Trained predictors on disk: one safetensors file, its metadata as JSON in the header. No pickle."""

from lesa_framework.artifacts.artifact import Artifact
from lesa_framework.artifacts.check import check_run, same_grid
from lesa_framework.artifacts.file import load_artifact, load_metadata, save_artifact
from lesa_framework.artifacts.metadata import ArtifactMetadata
from lesa_framework.grids import shifted_grid

__all__ = [
    "Artifact",
    "ArtifactMetadata",
    "check_run",
    "load_artifact",
    "load_metadata",
    "same_grid",
    "save_artifact",
    "shifted_grid",
]
