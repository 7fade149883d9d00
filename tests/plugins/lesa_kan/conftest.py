"""A toy whose best predictor is known by trying them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from lesa_framework import BackboneAdapter, HistoryView, StepContext
from lesa_framework.plugin.manager import plugins
from lesa_framework.testing.tiny_pipeline import TinyScheduler
from lesa_kan.trainable import TrainablePredictor

TOKENS, CHANNELS = 3, 4


class ToyField(nn.Module):
    """The one block: a velocity that bends with the noise level and jitters from step to step."""

    def forward(self, hidden: Tensor, level: Tensor) -> Tensor:
        jitter = 0.25 * torch.sin(75 * level) * torch.linspace(-1, 1, CHANNELS)
        return -0.6 * hidden + torch.sin(3 * level) * torch.linspace(0.5, 1.5, CHANNELS) + jitter


class ToyTransformer(nn.Module):
    """A "transformer" whose stack is one formula."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([ToyField()])
        self.norm_out = nn.Identity()
        self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, hidden_states: Tensor, timestep: Tensor, return_dict: bool = True) -> tuple[Tensor]:
        hidden = hidden_states
        for block in self.blocks:
            hidden = block(hidden, timestep.view(-1, 1, 1))
        return (self.norm_out(hidden),)


class ToyAdapter(BackboneAdapter):
    model_class = "ToyTransformer"
    blocks = ("blocks",)
    head = "norm_out"
    condition_argument = None


class ToyPipeline:
    """Called as diffusers' pipelines are."""

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
        latent = torch.cat([torch.randn(1, TOKENS, CHANNELS, generator=each) for each in generator])
        self.scheduler.set_timesteps(num_inference_steps)
        for sigma in self.scheduler.sigmas[:-1]:
            velocity = self.transformer(latent, sigma.expand(len(prompt)), return_dict=False)[0]
            latent = self.scheduler.step(velocity, latent)
        return (latent,)


class Slope(TrainablePredictor):
    """One number to find: `h_0 + a (h_0 - h_1)`."""

    depth = 2
    records: Literal["all", "computed"] = "all"

    def __init__(self, a: float = 0.0) -> None:
        self.a = nn.Parameter(torch.tensor(a))

    def min_history(self, stage: int) -> int:
        return 2

    def parameters(self) -> Sequence[nn.Parameter]:
        return [self.a]

    def prepare(self, sigmas: Sequence[float]) -> None:
        pass

    def restrain(self, factor: float) -> None:
        self.a.data.mul_(factor)

    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:
        return history.feature(0) + self.a * (history.feature(0) - history.feature(1))

    def state_dict(self) -> dict[str, Tensor]:
        return {"a": self.a.detach().clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.a.data.copy_(state["a"])

    def tensors(self, sigmas: Sequence[float]) -> dict[str, Tensor]:
        return self.state_dict()

    def settings(self) -> dict[str, Any]:
        return {}


@pytest.fixture(autouse=True)
def _toy_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    # The registry is the whole process's: other tests list what is in it, so the toy leaves with its test.
    monkeypatch.setitem(plugins().registry.backbones._items, "toy", (ToyAdapter, "tests"))


@pytest.fixture
def toy_pipeline() -> ToyPipeline:
    return ToyPipeline()


@pytest.fixture
def slope() -> Slope:
    return Slope()
