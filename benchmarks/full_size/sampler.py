"""A model with random weights, and the loop that its pipeline runs, without encoders and VAE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.full_size.cases import Case
from benchmarks.full_size.device import Device
from benchmarks.full_size.inputs import Maker

#: Names that pipelines give their calls.
BRANCHES = ("cond", "uncond")


@contextmanager
def _made_in(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Make new tensors on the device in this dtype inside the context, so that there is never a copy in float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)


def build_model(case: Case, device: torch.device, dtype: torch.dtype, seed: int = 0) -> nn.Module:
    """The transformer with torch's own random initialisation, drawn on the device.

    On the device `meta` it takes no memory: enough to count its parameters.
    """
    import diffusers

    torch.manual_seed(seed)
    with _made_in(device, dtype):
        model: nn.Module = getattr(diffusers, case.model_class)(**case.config)
    return model.requires_grad_(False).eval()


@dataclass
class Denoiser:
    """The loop of a pipeline, without its text encoders and its VAE.

    It has a pipeline's `transformer` and `scheduler`, so that sessions and other caches can be attached to it.

    Attributes:
        case: What is sampled.
        transformer: The model.
        scheduler: The published sampler.
        branches: The model's arguments, one set for each call of a step; the same tensors at every step.
        noise: Where every run starts.
    """

    case: Case
    transformer: nn.Module
    scheduler: Any
    branches: tuple[Mapping[str, Any], ...]
    noise: Tensor

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.noise.device

    def grid(self, num_steps: int) -> tuple[float, ...]:
        """The sampler's noise levels, the final 0 included."""
        self._set_up(num_steps)
        return tuple(self.scheduler.sigmas.tolist())

    def _set_up(self, num_steps: int) -> None:
        self.scheduler.set_timesteps(
            sigmas=np.linspace(1.0, 1 / num_steps, num_steps), device=self.device, mu=self.case.mu
        )
        self.scheduler.set_begin_index(0)  # as the pipelines do: otherwise the first step waits for the GPU

    @torch.no_grad()
    def run(self, num_steps: int, stop: int | None = None, on_step: Callable[[int], None] | None = None) -> Tensor:
        """Sample.

        Args:
            num_steps: Steps of the grid.
            stop: How many of them to make; all when None.
            on_step: Called after every step with the step's number.

        Returns:
            The final latent.
        """
        self._set_up(num_steps)
        latent: Tensor = self.noise
        for index, timestep in enumerate(self.scheduler.timesteps[:stop]):
            told = timestep.expand(latent.shape[0]).to(latent.dtype) / self.case.timestep_divisor
            outputs = [
                self._call(name, arguments, latent, told)
                for name, arguments in zip(BRANCHES, self.branches, strict=False)
            ]
            velocity = outputs[0] if len(outputs) == 1 else self._guided(*outputs)
            (latent,) = self.scheduler.step(velocity, timestep, latent, return_dict=False)
            if on_step is not None:
                on_step(index)
        return latent

    def _call(self, name: str, arguments: Mapping[str, Any], latent: Tensor, timestep: Tensor) -> Tensor:
        hidden = latent.to(arguments["encoder_hidden_states"].dtype)
        model: Any = self.transformer
        with model.cache_context(name):
            velocity: Tensor = model(hidden_states=hidden, timestep=timestep, **arguments, return_dict=False)[0]
        return velocity

    def _guided(self, cond: Tensor, uncond: Tensor) -> Tensor:
        """Qwen-Image's guidance: the combination keeps the length of the prompt's own prediction."""
        combined = uncond + self.case.guidance * (cond - uncond)
        lengths: list[Tensor] = [torch.norm(velocity, dim=-1, keepdim=True) for velocity in (cond, combined)]
        return combined * (lengths[0] / lengths[1])


def build_denoiser(case: Case, device: Device, seed: int = 0) -> Denoiser:
    """Model, prompts and noise, the same for the same seed and device.

    Raises:
        torch.OutOfMemoryError: The model does not fit.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    model = build_model(case, device.place, device.dtype, seed)
    make = Maker(device.place, device.dtype, torch.Generator(device.place).manual_seed(seed))
    branches = tuple(
        case.arguments(case.config, case.latent, tokens, case.guidance, make) for tokens in case.text_tokens
    )
    noise = make.normal(*case.latent, dtype=torch.float32 if case.latent_in_float32 else None)
    return Denoiser(case, model, FlowMatchEulerDiscreteScheduler(**case.scheduler), branches, noise)
