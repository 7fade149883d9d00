"""The `training` section of `fitted`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lesa_framework import TrainingConfig


class FittedTrainingConfig(TrainingConfig):
    """How `lesa train` fits the filters; unused while sampling."""

    fit: Literal["greedy", "end_to_end", "true_history"] = "greedy"
    """`greedy`: ridge regression interval by interval while the schedule runs. `end_to_end`: then refined by gradient
    through the model. `true_history`: ridge regression on the uncached run's features, as L2P does."""
    target: Literal["auto", "trajectory", "feature"] = "auto"
    """What a prediction should do: bring the latent back onto the uncached trajectory, or be the uncached run's
    feature. `auto` tries both on the first batch. The trajectory needs a sampler that makes Euler steps, and a model
    that is given the sample alone."""
    passes: int = Field(1, ge=1, le=100)
    """Rollouts of each batch in the greedy fit. With one batch, one is exact."""
    ridge: float = Field(1e-6, ge=0, le=1, allow_inf_nan=False)
    """Ridge, relative to the mean square of the features."""
    iterations: int = Field(100, ge=1, le=100_000)
    """`end_to_end`: steps of the optimiser, one batch each."""
    lr: float = Field(3e-3, gt=0, allow_inf_nan=False)
    """`end_to_end`: Adam's learning rate: it rises over the first five iterations, and falls to 0 as a cosine."""
    tune_computed: bool = False
    """`end_to_end`: also fit how computed steps are asked: at what noise level, with what factor of the latent, and
    how far ahead on its way."""
    held_out: float = Field(0.25, ge=0, lt=1)
    """`end_to_end`: share of the batches that no fit sees, and at least one of them; none where there is only one. The
    filters that do best on these are kept."""
