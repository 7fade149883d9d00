"""The configuration of a cached run: four sections, one plugin each."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializeAsAny, model_validator

from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.fit import TrainingConfig
from lesa_framework.interfaces.predictor import PredictorConfig
from lesa_framework.interfaces.router import RouterConfig
from lesa_framework.interfaces.schedule import ScheduleConfig


class EngineConfig(BaseModel):
    """Settings of the loop itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    check_finite: bool = True
    """Compute a step whose prediction has NaN or infinity in it. Costs one device synchronisation a step."""


class LesaConfig(BaseModel):
    """Everything about a cached run.

    Build one with [`load_config`][lesa_framework.load_config], or directly from plugin configurations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schedule: SerializeAsAny[ScheduleConfig]
    """Which steps to compute."""
    router: SerializeAsAny[RouterConfig]
    """Which expert a noise level has."""
    predictor: SerializeAsAny[PredictorConfig]
    """How to predict the other steps."""
    backbone: SerializeAsAny[BackboneConfig] = BackboneConfig()
    """Where the feature sits in the model."""
    engine: EngineConfig = EngineConfig()
    """Settings of the loop itself."""
    training: SerializeAsAny[TrainingConfig]
    """Settings of `lesa train`, of the class that the predictor names; unused while sampling."""
    name: str = "config"
    """Name in tables; a file's stem or a preset's name."""

    @model_validator(mode="before")
    @classmethod
    def _training_of_the_predictor(cls, data: Any) -> Any:
        predictor = data.get("predictor") if isinstance(data, dict) else None
        if isinstance(predictor, PredictorConfig) and data.get("training") is None:
            return {**data, "training": predictor.training_config()}
        return data
