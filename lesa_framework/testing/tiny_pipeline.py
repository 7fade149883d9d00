"""A pipeline and a scheduler with the parts that a session reads, and no more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from lesa_framework.testing.tiny_dit import TinyDiT

#: Called after every step with the pipeline, the step's number and the latent; returns the latent to continue with.
StepCallback = Callable[["TinyPipeline", int, Tensor], Tensor]


class TinyScheduler:
    """Euler steps on a flow-matching grid, with the attributes of diffusers' schedulers.

    Args:
        shift: How far the grid leans towards noise; 1 is even.
    """

    def __init__(self, shift: float = 1.0) -> None:
        self.shift = shift
        self.config = SimpleNamespace(num_train_timesteps=1000)
        self.num_inference_steps: int | None = None
        self.sigmas = torch.linspace(1, 0, 1001)
        self.step_index: int | None = None
        self.begin_index: int | None = None

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Make a new grid and go back to its start."""
        self.num_inference_steps = num_inference_steps
        even = torch.linspace(1, 0, num_inference_steps + 1)
        self.sigmas = self.shift * even / (1 + (self.shift - 1) * even)
        self.step_index = self.begin_index = None

    def set_begin_index(self, begin_index: int) -> None:
        """Start later, as image-to-image does."""
        self.begin_index = begin_index

    def step(self, velocity: Tensor, latent: Tensor) -> Tensor:
        """One Euler step."""
        if self.step_index is None:
            self.step_index = self.begin_index or 0
        sigma, following = self.sigmas[self.step_index], self.sigmas[self.step_index + 1]
        self.step_index += 1
        return latent + (following - sigma) * velocity


class TinyPipeline:
    """Noise and a prompt's number in, a latent out.

    Args:
        transformer: The model.
        scheduler: The sampler.
    """

    def __init__(self, transformer: TinyDiT, scheduler: TinyScheduler | None = None) -> None:
        self.transformer = transformer
        self.scheduler = scheduler or TinyScheduler()

    @torch.no_grad()
    def __call__(
        self,
        prompt: int = 0,
        num_inference_steps: int = 12,
        *,
        guidance: float = 1.0,
        tokens: int = 6,
        batch: int = 1,
        begin: int = 0,
        renew_conditions: bool = False,
        callback: StepCallback | None = None,
    ) -> Tensor:
        """Sample.

        Args:
            prompt: Seed of the conditioning and of the noise.
            num_inference_steps: Steps of the whole grid.
            guidance: Above 1, a second call without prompt is made at every step.
            tokens: Size of the latent.
            batch: Samples.
            begin: First step, as in image-to-image.
            renew_conditions: Make new conditioning tensors at every step.
            callback: Called after every step.

        Returns:
            The final latent, (batch, tokens, channels).
        """
        weight = self.transformer.embed.weight
        latent = noise((batch, tokens, weight.shape[1]), prompt).to(weight)
        conditions = {"cond": noise((batch, 3, weight.shape[1]), prompt + 1).to(weight)}
        if guidance > 1:
            conditions["uncond"] = torch.zeros_like(conditions["cond"])
        self.scheduler.set_timesteps(num_inference_steps)
        self.scheduler.set_begin_index(begin)
        for step in range(begin, num_inference_steps):
            timestep = self.scheduler.sigmas[step].expand(batch).to(weight)
            velocity = {}
            for name, condition in conditions.items():
                shown = condition.clone() if renew_conditions else condition
                with self._context(name):
                    velocity[name] = self.transformer(latent, timestep, shown, return_dict=False)[0]
            guided = velocity["cond"]
            if guidance > 1:
                guided = velocity["uncond"] + guidance * (guided - velocity["uncond"])
            latent = self.scheduler.step(guided, latent)
            if callback is not None:
                latent = callback(self, step, latent)
        return latent

    def _context(self, name: str) -> AbstractContextManager[Any]:
        named: Callable[[str], AbstractContextManager[Any]] | None = getattr(self.transformer, "cache_context", None)
        return nullcontext() if named is None else named(name)


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Normal numbers that depend on nothing but the seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
