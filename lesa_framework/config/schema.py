"""The configuration of a cached run: four sections with a plugin each, and settings of the loop and of training."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, SerializeAsAny, field_validator, model_validator

from lesa_framework.errors import shown
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.fit import TrainingConfig
from lesa_framework.interfaces.predictor import PredictorConfig
from lesa_framework.interfaces.router import RouterConfig
from lesa_framework.interfaces.schedule import ScheduleConfig
from lesa_framework.types import HistoryPlace


class HistoryConfig(BaseModel):
    """Where a run keeps its features."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    device: str | None = None
    """Device, such as `cpu`; by default the model's. What a predicted step reads is copied back before it."""
    dtype: Literal["float64", "float32", "bfloat16", "float16", "float8_e4m3fn"] | None = None
    """Dtype; by default the features' own. In eight bits each sample of a feature has a scale of its own."""

    @field_validator("device")
    @classmethod
    def _device(cls, device: str | None) -> str | None:
        try:
            return None if device is None else str(torch.device(device))
        except RuntimeError:
            raise ValueError("is no device that torch knows, such as cpu, cuda or cuda:1") from None

    def build(self) -> HistoryPlace:
        """The form that the engine takes."""
        return HistoryPlace(
            None if self.device is None else torch.device(self.device),
            None if self.dtype is None else getattr(torch, self.dtype),
        )


class EngineConfig(BaseModel):
    """Settings of the engine's loop."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    check_finite: bool | Literal["strict"] = True
    """NaN and infinity in a prediction: `true` replaces them by the newest computed feature's values, without waiting
    for the device; `strict` computes the step, which waits at each predicted step; `false` lets them pass."""
    history: HistoryConfig = HistoryConfig()
    """Where features are kept."""

    @field_validator("check_finite", mode="before")
    @classmethod
    def _check_finite(cls, given: object) -> object:
        if not isinstance(given, bool) and given != "strict":
            raise ValueError("is none of true, false and strict")
        return given


class LesaConfig(BaseModel):
    """Everything about a cached run.

    Build one with [`load_config`][lesa_framework.load_config], or directly from plugin configurations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schedule: SerializeAsAny[ScheduleConfig]
    """Which steps to compute."""
    router: SerializeAsAny[RouterConfig]
    """Which expert handles a noise level."""
    predictor: SerializeAsAny[PredictorConfig]
    """How to predict the other steps."""
    backbone: SerializeAsAny[BackboneConfig] = BackboneConfig()
    """Where the feature is taken in the model."""
    engine: EngineConfig = EngineConfig()
    """Settings of the engine's loop."""
    training: SerializeAsAny[TrainingConfig]
    """Settings of `lesa train`, of the class that the predictor names; unused while sampling."""
    name: str = "config"
    """Name in tables; a file's stem or a preset's name."""

    def __repr__(self) -> str:
        """The name, and the four choices with what is not as usual in them."""
        sections = (self.schedule, self.router, self.predictor, self.backbone)
        return f"<LesaConfig {self.name}: {'; '.join(map(_brief, sections))}>"

    __str__ = __repr__

    @model_validator(mode="before")
    @classmethod
    def _training_of_the_predictor(cls, data: Any) -> Any:
        predictor = data.get("predictor") if isinstance(data, dict) else None
        if isinstance(predictor, PredictorConfig) and data.get("training") is None:
            return {**data, "training": predictor.training_config()}
        return data


def _brief(section: BaseModel) -> str:
    settings = section.model_dump(mode="json", exclude={"kind"}, exclude_defaults=True)
    kind = str(section.model_dump(include={"kind"})["kind"])
    return " ".join([kind, *(f"{key}={shown(value)}" for key, value in settings.items() if value is not None)])
