"""The `training` section of LESA."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lesa_framework import TrainingConfig


class LesaTrainingConfig(TrainingConfig):
    """How `lesa train` fits LESA, in two stages; unused while sampling."""

    guided_epochs: int = Field(1, ge=0, le=1_000_000)
    """Stage 1: passes over the prompts with the true features as history."""
    closed_loop_epochs: int = Field(20, ge=0, le=1_000_000)
    """Stage 2: passes over the prompts in closed loop."""
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
    """Stage 2's target: the uncached run's latents, or its features at each step (as in the paper)."""
    through_model: bool = False
    """With `trajectory`: let gradients pass through computed steps too. Exact, and needs memory for them."""
    held_out: float = Field(0, ge=0, lt=1)
    """Share of the batches that are not trained on, at least one of two or more. The weights that do best on these in
    closed loop are kept: those of one of stage 2's epochs, or those that it began with."""
    keep_kans: bool = True
    """Write the KANs' weights into the artifact. Without them it is small, and `retabulate` is impossible."""
