"""Optimiser steps on the losses of a batch, and the mean of these."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lesa_framework import ConfigError, World
from lesa_kan.optimiser import Optimiser


@dataclass
class LossMeter:
    """Makes an optimiser step on each loss that it is called with.

    Attributes:
        optimiser: Makes the steps.
        world: The processes that share the batch.
        share: How much of the batch this process has.
        total: The sum of the losses, each a mean over the whole batch.
        count: How many there were.
    """

    optimiser: Optimiser
    world: World
    share: float
    total: float = 0.0
    count: int = 0

    def __call__(self, loss: Tensor) -> None:
        """Learn from a loss with its graph, the mean over this process's samples."""
        self.optimiser.learn(loss, self.share)
        self.total += self.world.mean(float(loss.detach()), self.share)
        self.count += 1

    def mean(self) -> float:
        """The mean of the losses.

        Raises:
            ConfigError: There were none, because the schedule computed all steps.
        """
        if not self.count:
            raise ConfigError(
                "schedule: no step of a batch was predicted, so nothing can be learnt from it. Raise its threshold, "
                "or choose a schedule that computes fewer steps."
            )
        return self.total / self.count
