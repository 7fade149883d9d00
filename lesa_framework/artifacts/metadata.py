"""What an artifact was made for, and how."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from lesa_framework.model_info import ModelInfo
from lesa_framework.types import RunInfo, Tap

#: 2 says which model the numbers were fitted on; files of version 1 are read as well.
SCHEMA_VERSION = 2

_Name: TypeAlias = Annotated[str, Field(max_length=100)]


class ArtifactMetadata(BaseModel):
    """What an artifact was made for, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: int = SCHEMA_VERSION
    kind: _Name
    """The predictor's `kind`."""
    settings: dict[str, Any]
    """The predictor's own shape (for LESA: taps, stages, layers)."""
    sigmas: Annotated[tuple[float, ...], Field(min_length=2)]
    """The grid it was trained for, the final 0 included."""
    backbone: _Name
    """Kind of the adapter."""
    tap: Tap
    """The tap where its features are taken."""
    models: tuple[ModelInfo, ...] = ()
    """The transformers it was fitted on; empty when unknown, as in files of schema version 1."""
    latent_shape: tuple[int, ...] | None = None
    """Shape of the models' input in the fit, without the batch axis; None when unknown."""
    guidance: float | None = None
    """The guidance that the models were given in the fit; None when they took none or it is unknown."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The whole configuration it was trained with."""
    training: dict[str, Any] = Field(default_factory=dict)
    """The log of the training."""

    _told: set[str] = PrivateAttr(default_factory=set)

    @property
    def run(self) -> RunInfo:
        """The run that it was made for."""
        return RunInfo(self.sigmas, self.backbone, self.tap, self.models, self.latent_shape, self.guidance)

    def is_first(self, note: str) -> bool:
        """Whether something about these weights is said for the first time; what was said once is not said again."""
        first = note not in self._told
        self._told.add(note)
        return first
