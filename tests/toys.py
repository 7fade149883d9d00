"""Toys whose block stack is one formula, with pipelines that are called as diffusers' are. They work on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lesa_framework import BackboneAdapter, Tap, TrainingConfig
from lesa_framework.plugin.manager import plugins
from lesa_framework.processes import ALONE, World
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.testing.tiny_pipeline import TinyScheduler
from lesa_framework.training import Sampler, Task
from lesa_framework.training.task import make_batches

CHANNELS = 4
TOKENS, GUIDED_TOKENS = 3, 5
#: Of `new_task`: steps, and which of them are computed.
STEPS, COMPUTED = 12, (0, 3, 6, 9)


def register_toy(monkeypatch: pytest.MonkeyPatch, kind: str, adapter: type[BackboneAdapter]) -> None:
    """Register an adapter for one test: the registry is the whole process's, and other tests list what is in it."""
    monkeypatch.setitem(plugins().registry.backbones._items, kind, (adapter, "tests"))


class _Stack(nn.Module):
    """A "transformer" of one block."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([field])
        self.norm_out = nn.Identity()
        self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)

    def run(self, hidden: Tensor, timestep: Tensor, *others: Tensor) -> tuple[Tensor]:
        for block in self.blocks:
            hidden = block(hidden, timestep.view(-1, 1, 1), *others)
        return (self.norm_out(hidden),)


class _ToyField(nn.Module):
    """A velocity that bends with the noise level and jitters from step to step."""

    def forward(self, hidden: Tensor, level: Tensor) -> Tensor:
        jitter = 0.25 * torch.sin(75 * level) * torch.linspace(-1, 1, CHANNELS, device="cpu")
        return -0.6 * hidden + torch.sin(3 * level) * torch.linspace(0.5, 1.5, CHANNELS, device="cpu") + jitter


class ToyTransformer(_Stack):
    def __init__(self) -> None:
        super().__init__(_ToyField())

    def forward(self, hidden_states: Tensor, timestep: Tensor, return_dict: bool = True) -> tuple[Tensor]:
        return self.run(hidden_states, timestep)


class ToyAdapter(BackboneAdapter):
    model_class = "ToyTransformer"
    blocks = ("blocks",)
    head = "norm_out"
    condition_argument = None


class ToyPipeline:
    """A toy whose best predictor is known by trying them all."""

    def __init__(self) -> None:
        self.transformer, self.scheduler = ToyTransformer(), TinyScheduler()

    @torch.no_grad()
    def __call__(
        self,
        prompt: list[str],
        num_inference_steps: int,
        generator: list[torch.Generator],
        output_type: str,
        return_dict: bool,
    ) -> tuple[Tensor]:
        assert (output_type, return_dict) == ("latent", False)
        with torch.device("cpu"):
            latent = torch.cat([torch.randn(1, TOKENS, CHANNELS, generator=each) for each in generator])
            self.scheduler.set_timesteps(num_inference_steps)
        for sigma in self.scheduler.sigmas[:-1]:
            velocity = self.transformer(latent, sigma.expand(len(prompt)), return_dict=False)[0]
            latent = self.scheduler.step(velocity, latent)
        return (latent,)


class _GuidedField(nn.Module):
    """A velocity that bends with the noise level and with the latent."""

    def forward(self, hidden: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        bend = torch.sin(3 * level) * torch.linspace(0.5, 1.5, CHANNELS, device="cpu")
        return -0.6 * torch.tanh(hidden) * (1 + level) + bend * condition


class GuidedToy(_Stack):
    def __init__(self) -> None:
        super().__init__(_GuidedField())

    def forward(
        self, hidden_states: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, return_dict: bool = True
    ) -> tuple[Tensor]:
        return self.run(hidden_states, timestep, encoder_hidden_states)


class GuidedToyAdapter(BackboneAdapter):
    model_class = "GuidedToy"
    blocks = ("blocks",)
    head = "norm_out"


class GuidedToyPipeline:
    """Calls its model twice a step.

    Args:
        curved: Move by more or less than an Euler step, in turns: no constant velocity leads straight on.
    """

    def __init__(self, *, curved: bool = False) -> None:
        self.transformer, self.scheduler, self.curved = GuidedToy(), TinyScheduler(), curved

    @torch.no_grad()
    def __call__(
        self,
        prompt: list[str],
        num_inference_steps: int,
        generator: list[torch.Generator],
        output_type: str,
        return_dict: bool,
        guidance: float = 3.0,
    ) -> tuple[Tensor]:
        assert (output_type, return_dict) == ("latent", False)
        with torch.device("cpu"):
            latent = torch.cat([torch.randn(1, GUIDED_TOKENS, CHANNELS, generator=each) for each in generator])
            condition = torch.tensor([[[1.0 + len(each) % 3]] for each in prompt])
            self.scheduler.set_timesteps(num_inference_steps)
        for step, sigma in enumerate(self.scheduler.sigmas[:-1]):
            level = sigma.expand(len(prompt))
            cond = self.transformer(latent, level, condition, return_dict=False)[0]
            uncond = self.transformer(latent, level, torch.zeros_like(condition), return_dict=False)[0]
            velocity = uncond + guidance * (cond - uncond)
            latent = self.scheduler.step(velocity * (2.5 if step % 2 else 0.1) if self.curved else velocity, latent)
        return (latent,)


def new_task(
    settings: TrainingConfig,
    *,
    prompts: int = 6,
    batch: int = 3,
    tap: Tap = Tap.OUTPUT,
    curved: bool = False,
    computed: Sequence[int] = COMPUTED,
    world: World = ALONE,
    **call: Any,
) -> Task:
    """A task on the guided toy, which has to be registered as `guided_toy`."""
    names = ["a" * (1 + number) for number in range(prompts)]
    return Task(
        settings,
        Sampler(GuidedToyPipeline(curved=curved), STEPS, call),
        tuple(torch.linspace(1, 0, STEPS + 1).tolist()),
        ComputeSteps(tuple(computed)),
        EqualStages(),
        "guided_toy",
        tap,
        make_batches(names, batch, seed=0),
        world=world,
    )
