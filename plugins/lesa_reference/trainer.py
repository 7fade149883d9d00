"""The training loop that the reference VAE, denoiser and caption score share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Trainer(ABC):
    """Steps, a trapezoidal learning rate, and a state to save and resume.

    Args:
        model: Trained in place.
        optimisers: All of them take every step.
        steps: Length of the whole training, for the trapezoid.
        decay: Share of the steps, at the end, over which the learning rate falls to almost zero.
    """

    def __init__(
        self, model: nn.Module, optimisers: Sequence[torch.optim.Optimizer], steps: int, decay: float = 0.4
    ) -> None:
        self.model, self.optimisers, self.steps, self.step = model, optimisers, steps, 0
        self.device = next(model.parameters()).device
        warmup, fall = max(1, steps // 50), max(1, int(steps * decay))
        self.schedules = [
            torch.optim.lr_scheduler.LambdaLR(
                optimiser, lambda step: min(1.0, (step + 1) / warmup, max(0.002, (steps - step) / fall))
            )
            for optimiser in optimisers
        ]

    def upload(self, tensor: Tensor) -> Tensor:
        """A tensor where the model is. Nothing waits for the steps that a GPU still has before it."""
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    @abstractmethod
    def loss(self) -> Tensor:
        """Loss of step `self.step`; its random numbers may depend only on the seed and the step."""

    def stepped(self) -> None:  # noqa: B027 - most trainers have nothing to add
        """Called after every optimiser step."""

    def train(self) -> Iterator[Tensor]:
        """Run the steps that remain.

        Yields:
            Each step's loss, shape (). It is where the model is: reading it makes a GPU wait for the step.
        """
        self.model.train()
        while self.step < self.steps:
            loss = self.loss()
            for optimiser in self.optimisers:
                optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
            for optimiser, schedule in zip(self.optimisers, self.schedules, strict=True):
                optimiser.step()
                schedule.step()
            self.step += 1
            self.stepped()
            yield loss.detach()
        self.model.eval()

    def state(self) -> dict[str, Any]:
        """Everything that resuming needs."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from what [`state`][lesa_reference.trainer.Trainer.state] returned."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        for optimiser, schedule, kept in zip(self.optimisers, self.schedules, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
            # The trapezoid is recomputed, so that training can resume with another length.
            schedule.last_epoch = self.step
            for group, base, rate in zip(optimiser.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
                group["lr"] = base * rate(self.step)
