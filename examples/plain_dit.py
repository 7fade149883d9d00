"""A diffusion transformer in plain PyTorch, cached from a configuration alone.

python examples/plain_dit.py                       # reads plain_dit.yaml next to this file
python examples/plain_dit.py --steps 100 --config examples/plain_dit.yaml

The model knows nothing about the framework, and the framework nothing about the model: `plain_dit.yaml` says where the
blocks are. The weights are random, so the numbers show what a cache costs and saves, not how good an image is.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

import lesa_framework as lesa

WIDTH, CHANNELS, CLASSES = 256, 16, 10


class Block(nn.Module):
    """Attention and an MLP, modulated by the conditioning."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.attention = nn.MultiheadAttention(WIDTH, num_heads=4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
        self.modulation = nn.Linear(WIDTH, 2 * WIDTH)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """One residual block; `x` is (batch, tokens, width), `c` is (batch, width)."""
        shift, scale = self.modulation(c)[:, None].chunk(2, dim=-1)
        normed = self.norm(x) * (1 + scale) + shift
        x = x + self.attention(normed, normed, normed, need_weights=False)[0]
        return x + self.mlp(self.norm(x))


class FinalLayer(nn.Module):
    """The head: it runs at every step, with the conditioning of that step."""

    def __init__(self) -> None:
        super().__init__()
        self.modulation, self.linear = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CHANNELS)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Hidden state to velocity."""
        return self.linear(x * (1 + self.modulation(c)[:, None]))


class PlainDiT(nn.Module):
    """Velocity of a latent (batch, tokens, channels) at time `t` in [0, 1], for classes `y`."""

    def __init__(self, depth: int = 6) -> None:
        super().__init__()
        self.embed = nn.Linear(CHANNELS, WIDTH)
        self.time, self.label = nn.Linear(2, WIDTH), nn.Embedding(CLASSES + 1, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.final_layer = FinalLayer()

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """The prelude, the blocks, the head."""
        c = self.time(torch.stack([t, torch.sin(6 * t)], dim=-1)) + self.label(y)
        x = self.embed(x)
        for block in self.blocks:
            x = block(x, c)
        return self.final_layer(x, c)


@torch.no_grad()
def sample(model: nn.Module, times: Tensor, guidance: float = 3.0) -> Tensor:
    """Euler steps from noise (time 0) to data (time 1), with two calls a step for guidance."""
    batch = 2
    latent = torch.randn(batch, 128, CHANNELS, generator=torch.Generator().manual_seed(0))
    classes, none = torch.arange(batch), torch.full((batch,), CLASSES)
    for now, following in pairwise(times):
        cond = model(latent, now.expand(batch), classes)
        uncond = model(latent, now.expand(batch), none)
        latent = latent + (following - now) * (uncond + guidance * (cond - uncond))
    return latent


def main() -> None:
    """Sample uncached and cached, and print what happened."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--config", type=Path, default=Path(__file__).with_suffix(".yaml"))
    arguments.add_argument("--steps", type=int, default=30)
    chosen = arguments.parse_args()

    torch.manual_seed(0)
    model = PlainDiT().eval()
    times = torch.linspace(0, 1, chosen.steps + 1)
    sample(model, times[:3])  # the first calls of a process are slower than the others

    started = time.perf_counter()
    uncached = sample(model, times)
    slow = time.perf_counter() - started
    # A bare model does not know the sampler's grid: noise levels from 1 (noise) to 0 (data).
    with lesa.accelerate(model, chosen.config, sigmas=(1 - times).tolist()) as session:
        started = time.perf_counter()
        cached = sample(model, times)
        fast = time.perf_counter() - started

    print(session.report)
    error = (cached - uncached).norm() / uncached.norm()
    print(f"{slow:.2f} s uncached, {fast:.2f} s cached: {slow / fast:.2f}x; relative error {error:.3f}")


if __name__ == "__main__":
    main()
