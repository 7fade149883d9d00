"""The training loop that the reference VAE, denoiser and caption score share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn


class Trainer(ABC):
    """Steps, a trapezoidal learning rate, and a state to save and resume.

    Args:
        model: Trained in place.
        optimisers: All of them take every step.
        steps: Length of the whole training, for the trapezoid.
        decay: Share of the training, at its end, over which the learning rate falls to almost zero.
        seconds: Length of the whole training in time. `steps` does not count then, and two runs differ.
        compiled: The loss is compiled. Its first step includes the compiling, so the time of that step does not count.

    Attributes:
        seed: Decides all random numbers, together with the step.
    """

    seed = 0

    def __init__(
        self,
        model: nn.Module,
        optimisers: Sequence[torch.optim.Optimizer],
        steps: int,
        decay: float = 0.4,
        seconds: float | None = None,
        compiled: bool = False,
    ) -> None:
        self.model, self.optimisers, self.steps, self.step = model, optimisers, steps, 0
        self.decay, self.seconds, self.elapsed, self.compiled = decay, seconds, 0.0, compiled
        self.device = next(model.parameters()).device
        self._rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]

    @property
    def done(self) -> float:
        """Share of the training that is over; 1 or more at the end."""
        return self.step / self.steps if self.seconds is None else self.elapsed / self.seconds

    def _set_rates(self) -> None:
        """Up within a fiftieth of the training, then level, then down."""
        warmup, fall = max(1, self.steps // 50), max(1, int(self.steps * self.decay))
        up, down = (self.step + 1) / warmup, (self.steps - self.step) / fall
        if self.seconds is not None:
            up, down = max(0.02, 50 * self.done), (1 - self.done) / self.decay
        factor = min(1.0, up, max(0.002, down))
        for optimiser, rates in zip(self.optimisers, self._rates, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor

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
        before, compiling = perf_counter(), self.compiled
        while self.done < 1:
            self._set_rates()
            # Before the forward: a compiled one may use the memory of the gradients again.
            for optimiser in self.optimisers:
                optimiser.zero_grad()
            # Dropout and the VAE's samples draw from it, in a resumed training too.
            torch.manual_seed(self.seed * 1_000_003 + self.step)
            loss = self.loss()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
            for optimiser in self.optimisers:
                optimiser.step()
            self.step += 1
            self.stepped()
            now = perf_counter()
            if not compiling:
                self.elapsed += now - before
            before, compiling = now, False
            yield loss.detach()
        self.model.eval()

    def state(self) -> dict[str, Any]:
        """Everything that resuming needs."""
        return {
            "step": self.step,
            "elapsed": self.elapsed,
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from what [`state`][lesa_reference.trainer.Trainer.state] returned, also with another length."""
        self.step, self.elapsed = state["step"], state["elapsed"]
        self.model.load_state_dict(state["model"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
            _lay_out_as_parameters(optimiser)


def _lay_out_as_parameters(optimiser: torch.optim.Optimizer) -> None:
    """Give the state that was loaded its parameters' memory layout, which no checkpoint holds.

    Fused optimisers go through memory in its order: a moment in another order than its parameter (channels last) would
    be that of other weights.
    """
    for parameter, state in optimiser.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
