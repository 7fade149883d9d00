"""Checkpoints in the layout of the LESA authors' training, with random weights, and their formulas in plain torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

GRID, ORDER = 5, 3


@dataclass
class _Model:
    device: str = "cuda"
    hidden_dim: int = 4


@dataclass
class _Config:
    model: _Model = field(default_factory=_Model)


def release_tensors(
    steps: int,
    history: int = 8,
    hidden: Sequence[int] = (4, 4),
    *,
    branches: int = 1,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """What such a checkpoint has under `model`."""
    random = torch.Generator().manual_seed(steps)

    def numbers(*size: int, scale: float = 0.3) -> Tensor:
        return (torch.randn(*size, generator=random) * scale).to(dtype)

    knots = torch.arange(-ORDER, GRID + ORDER + 1) * (6 / GRID) - 3
    widths = [steps + 1, *hidden, 1]
    found = {}
    for suffix in [""] if branches == 1 else ["_cond", "_uncond"]:
        for stage, length in enumerate((history // 2, history, history)):
            found[f"latent{suffix}.{stage}.weight"] = numbers(1, length)
            found[f"latent{suffix}.{stage}.bias"] = numbers(1)
            for layer, (inputs, outputs) in enumerate(pairwise(widths)):
                name = f"timestep{suffix}.{stage}.layers.{layer}"
                found[f"{name}.grid"] = knots.expand(inputs, -1).contiguous().to(dtype)
                found[f"{name}.base_weight"] = numbers(outputs, inputs)
                found[f"{name}.spline_weight"] = numbers(outputs, inputs, GRID + ORDER)
                found[f"{name}.spline_scaler"] = numbers(outputs, inputs)
    return found


def save_release(path: Path, tensors: Mapping[str, Any]) -> None:
    """Write it as the authors do: with a dataclass of a module that is not there when it is read, and an optimiser."""
    parameter = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimiser.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimiser, 500, 0.5)
    module = ModuleType("their_release.config")
    for each in (_Model, _Config):
        setattr(module, each.__name__, each)
        each.__module__ = module.__name__
    sys.modules |= {"their_release": ModuleType("their_release"), module.__name__: module}
    try:
        torch.save(
            {
                "config": _Config(),
                "model": dict(tensors),
                "optimizer": optimiser.state_dict(),
                "scheduler": scheduler.state_dict(),
            },
            path,
        )
    finally:
        del sys.modules["their_release"], sys.modules[module.__name__]


def _bases(x: Tensor, grid: Tensor) -> Tensor:
    """B-splines by Cox and de Boor: x (in,), grid (in, knots), result (in, knots - 1 - order)."""
    x = x[:, None]
    found = ((x >= grid[:, :-1]) & (x < grid[:, 1:])).double()
    for order in range(1, ORDER + 1):
        left = (x - grid[:, : -order - 1]) / (grid[:, order:-1] - grid[:, : -order - 1])
        right = (grid[:, order + 1 :] - x) / (grid[:, order + 1 :] - grid[:, 1:-order])
        found = left * found[:, :-1] + right * found[:, 1:]
    return found


def release_kan(tensors: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """`base_weight @ silu(x) + sum_j spline_scaler * spline_weight . B_j(x)`, layer by layer, in float64."""
    for layer in range(3):
        grid, base, spline, scaler = (
            tensors[f"{name}.layers.{layer}.{part}"].double()
            for part in ("grid", "base_weight", "spline_weight", "spline_scaler")
        )
        x = base @ torch.nn.functional.silu(x) + torch.einsum("oij,oi,ij->o", spline, scaler, _bases(x, grid))
    return x


def release_predict(
    tensors: Mapping[str, Tensor],
    features: Sequence[Tensor],
    sigmas: Sequence[float],
    index: int,
    stage: int,
    suffix: str,
) -> Tensor:
    """`h_{i-1} + a_s(d_i) (W [oldest ... newest] + b)`; `features` are the oldest first, as their deque has them."""
    grid = torch.tensor(sigmas, dtype=torch.float64)
    gain = release_kan(tensors, f"timestep{suffix}.{stage}", (grid[index] - grid).float().double())
    weight = tensors[f"latent{suffix}.{stage}.weight"].double()[0]
    stacked = torch.stack([each.double() for each in features[-len(weight) :]], dim=-1)
    return features[-1].double() + gain * (stacked @ weight + tensors[f"latent{suffix}.{stage}.bias"].double())
