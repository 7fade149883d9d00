"""A guided toy: two calls a step, a velocity that bends with the noise level and with the latent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

TOKENS, CHANNELS, STEPS = 5, 4, 12
COMPUTED = (0, 3, 6, 9)


class ToyField(nn.Module):
    """The one block."""

    def forward(self, hidden: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        bend = torch.sin(3 * level) * torch.linspace(0.5, 1.5, CHANNELS)
        return -0.6 * torch.tanh(hidden) * (1 + level) + bend * condition


class GuidedToy(nn.Module):
    """A "transformer" whose stack is one formula."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([ToyField()])
        self.norm_out = nn.Identity()
        self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(
        self, hidden_states: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, return_dict: bool = True
    ) -> tuple[Tensor]:
        hidden = hidden_states
        for block in self.blocks:
            hidden = block(hidden, timestep.view(-1, 1, 1), encoder_hidden_states)
        return (self.norm_out(hidden),)


class GuidedToyAdapter(BackboneAdapter):
    model_class = "GuidedToy"
    blocks = ("blocks",)
    head = "norm_out"


class GuidedToyPipeline:
    """Called as diffusers' pipelines are.

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
        latent = torch.cat([torch.randn(1, TOKENS, CHANNELS, generator=each) for each in generator])
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
    """A task on the toy."""
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


@pytest.fixture
def make_task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Task]:
    """Makes a task on the toy: `make_task(settings, prompts=6, batch=3, tap=..., curved=...)`."""
    # The registry is the whole process's: other tests list what is in it, so the toy leaves with its test.
    monkeypatch.setitem(plugins().registry.backbones._items, "guided_toy", (GuidedToyAdapter, "tests"))
    return new_task
