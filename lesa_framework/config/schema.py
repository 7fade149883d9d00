"""The configuration of a cached run: four sections, one plugin each."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.predictor import PredictorConfig
from lesa_framework.interfaces.router import RouterConfig
from lesa_framework.interfaces.schedule import ScheduleConfig


class EngineConfig(BaseModel):
    """Settings of the loop itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    check_finite: bool = True
    """Compute a step whose prediction has NaN or infinity in it. Costs one device synchronisation a step."""


class TrainingConfig(BaseModel):
    """How `lesa train` fits the predictor; unused while sampling."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str | None = None
    """Model to train on: a name such as `reference:flux`, a folder or a hub id."""
    prompts: int = Field(64, ge=1)
    """How many prompts to draw when no file of prompts is given (named models only)."""
    num_steps: int = Field(50, ge=2)
    """Steps of the sampler; fixes the sigma grid."""
    batch: int = Field(16, ge=1)
    """Prompts a rollout."""
    seed: int = Field(0, ge=0, le=2**31)
    """Seed of weights, prompts and noise."""
    guided_epochs: int = Field(1, ge=0)
    """Stage 1: passes over the prompts with the true features as history."""
    closed_loop_epochs: int = Field(20, ge=0)
    """Stage 2: passes over the prompts with the schedule really run."""
    guided_lr: float = Field(1e-3, gt=0, allow_inf_nan=False)
    """AdamW's learning rate in stage 1."""
    closed_loop_lr: float = Field(1e-3, gt=0, allow_inf_nan=False)
    """AdamW's learning rate in stage 2."""
    weight_decay: float = Field(1e-4, ge=0, allow_inf_nan=False)
    """AdamW's weight decay."""
    clip: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Largest norm of a gradient."""
    lr_schedule: Literal["cosine", "constant", "authors"] = "cosine"
    """`cosine` and `constant` count epochs; `authors` halves the rate every 500 optimiser steps."""
    target: Literal["trajectory", "feature"] = "trajectory"
    """Stage 2's aim: stay on the uncached run's latents, or match its features at each step (the paper)."""
    through_model: bool = False
    """With `trajectory`: let gradients pass through computed steps too. Exact, and needs memory for them."""


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
    training: TrainingConfig = TrainingConfig()
    """Settings of `lesa train`."""
    name: str = "config"
    """Name in tables; a file's stem or a preset's name."""
