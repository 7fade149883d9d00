"""One row of the matrix: an adapter, and a tiny model to hold it to."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lesa_framework import BackboneAdapter
from lesa_framework.testing import ModelCall


@dataclass(frozen=True)
class Case:
    """The kind under which the adapter is registered, and the arguments of `check_backbone`."""

    kind: str
    adapter: type[BackboneAdapter]
    make_model: Callable[[], nn.Module]
    call: ModelCall
    make_latent: Callable[[int], Tensor]
    refused: tuple[ModelCall, ...] = ()  # calls that the bare model takes and the adapter refuses


def tiny(class_name: str, module: str = "", **config: Any) -> Callable[[], nn.Module]:
    """Factory of a diffusers model with random weights, the same each time and none of them zero."""

    def make() -> nn.Module:
        owner = importlib.import_module(f"diffusers.models.transformers.{module}" if module else "diffusers")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            # So that what a class makes with torch.empty is NaN, not whatever the memory holds.
            torch.use_deterministic_algorithms(True)
            try:
                model: nn.Module = getattr(owner, class_name)(**config).eval().requires_grad_(False)
            finally:
                torch.use_deterministic_algorithms(False)
            for parameter in model.parameters():
                if not (parameter.any() and parameter.isfinite().all()):
                    parameter.normal_(std=0.05)
        return model

    return make


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """The same normal numbers each time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed % 2**31))


def latents(*shape: int) -> Callable[[int], Tensor]:
    """`make_latent` of a shape; size 2 has its last-but-one number doubled."""
    return lambda size: noise((*shape[:-2], shape[-2] * size, shape[-1]), 0)


def level(latent: Tensor, value: float) -> Tensor:
    """One number for each sample, as pipelines pass timesteps and guidance."""
    return torch.full((latent.shape[0],), value)
