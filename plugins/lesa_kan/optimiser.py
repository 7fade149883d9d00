"""AdamW with a learning rate that follows epochs, or the authors' schedule as an option."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lesa_framework import World

#: The authors' StepLR: halved every 500 optimiser steps. With one for each predicted step, that is a
#: few prompts, so the rate is almost 0 before the closed loop begins; kept for comparison.
_AUTHORS_PERIOD, _AUTHORS_FACTOR = 500, 0.5
_FLOOR = 0.02
#: Losses are scaled by this for the way back. A float16 prediction of n values gets a gradient of 1 / n, which is 0 in
#: float16 from 2**25 values on. A power of two changes no bit where nothing is lost.
_SCALE = 2.0**12


class Optimiser:
    """Steps parameters in float32.

    Args:
        parameters: What is trained.
        lr: The initial learning rate.
        weight_decay: AdamW's.
        clip: Largest norm of a gradient.
        schedule: How the rate falls.
        epochs: Length of the training, for `cosine`.
        world: The processes that make the same steps, each with losses of its own samples.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        clip: float,
        schedule: Literal["cosine", "constant", "authors"],
        epochs: int,
        world: World,
    ) -> None:
        self._parameters = list(parameters)
        self._adam = torch.optim.AdamW(self._parameters, lr=lr, weight_decay=weight_decay)
        self._lr, self._clip, self._schedule, self._epochs = lr, clip, schedule, epochs
        self._world = world
        self.steps = 0
        self.skipped = 0

    def set_epoch(self, epoch: float) -> None:
        """Set the learning rate for a point of the training, in epochs and fractions of them."""
        if self._schedule == "cosine":
            share = min(1.0, epoch / max(self._epochs, 1))
            self._set_lr(self._lr * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * share))))

    def learn(self, loss: Tensor, share: float = 1.0) -> None:
        """Make one optimiser step; a step without a finite gradient is skipped and counted.

        Args:
            loss: The mean over this process's samples.
            share: How much of the batch they are.
        """
        self._adam.zero_grad()
        loss.backward(torch.full_like(loss, _SCALE))
        for parameter in self._parameters:
            if parameter.grad is not None:
                parameter.grad.div_(_SCALE)
        self._world.sum_gradients(self._parameters, share)
        norm = nn.utils.clip_grad_norm_(self._parameters, self._clip)
        if not bool(torch.isfinite(norm)):
            self.skipped += 1
            return
        self._adam.step()
        self.steps += 1
        if self._schedule == "authors":
            self._set_lr(self._lr * _AUTHORS_FACTOR ** (self.steps // _AUTHORS_PERIOD))

    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs."""
        return {"adam": self._adam.state_dict(), "steps": self.steps, "skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a state."""
        self._adam.load_state_dict(state["adam"])
        self.steps, self.skipped = state["steps"], state["skipped"]

    def _set_lr(self, lr: float) -> None:
        for group in self._adam.param_groups:
            group["lr"] = lr
