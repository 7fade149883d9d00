"""A class-conditional DiT in plain PyTorch, as the paper describes it (arXiv 2212.09748): adaLN-Zero, learned sigma."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS, CLASSES, WIDTH = 4, 10, 16


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class TimeEmbedder(nn.Module):
    """Sines and cosines of the timestep, and two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(8, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))

    def forward(self, t: Tensor) -> Tensor:
        frequencies = torch.exp(-math.log(10_000) * torch.arange(4, device=t.device) / 4)
        angles = t[:, None].float() * frequencies
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.mlp[0].weight))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, WIDTH // 2)).permute(2, 0, 3, 1, 4)
        return self.proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class DiTBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(WIDTH, 6 * WIDTH))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(c).chunk(6, dim=1)
        x = x + gate_a.unsqueeze(1) * self.attn(modulate(self.norm1(x), shift_a, scale_a))
        return x + gate_m.unsqueeze(1) * self.mlp(modulate(self.norm2(x), shift_m, scale_m))


class FinalLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.linear = nn.Linear(WIDTH, 2 * 2 * 2 * CHANNELS)  # patches of 2x2, mean and sigma
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(WIDTH, 2 * WIDTH))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


class PlainDiT(nn.Module):
    """Noise prediction and sigma, for latents (batch, 4, height, width)."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.x_embedder = nn.Conv2d(CHANNELS, WIDTH, kernel_size=2, stride=2)
            self.t_embedder = TimeEmbedder()
            self.y_embedder = nn.Embedding(CLASSES + 1, WIDTH)  # the last one is "no class"
            self.blocks = nn.ModuleList(DiTBlock() for _ in range(3))
            self.final_layer = FinalLayer()

    def embed(self, x: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.x_embedder(x).flatten(2).transpose(1, 2)
        places = torch.arange(tokens.shape[1], device=x.device)[:, None] / 7.0
        return tokens + places.sin().to(tokens), self.t_embedder(t) + self.y_embedder(y)

    def unpatchify(self, x: Tensor, height: int, width: int) -> Tensor:
        x = x.unflatten(-1, (2, 2, 2 * CHANNELS)).unflatten(1, (height // 2, width // 2))
        return x.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """`x`: latent; `t`: (batch,) timesteps, 0 to 999; `y`: (batch,) classes."""
        hidden, c = self.embed(x, t, y)
        for block in self.blocks:
            hidden = block(hidden, c)
        return self.unpatchify(self.final_layer(hidden, c), *x.shape[-2:])

    def forward_with_cfg(self, x: Tensor, t: Tensor, y: Tensor, cfg_scale: float) -> Tensor:
        """One call for both halves of the batch, which hold the same latents."""
        half = x[: len(x) // 2]
        cond, uncond = self.forward(torch.cat([half, half]), t, y).chunk(2)
        guided = uncond[:, :CHANNELS] + cfg_scale * (cond - uncond)[:, :CHANNELS]
        return torch.cat([torch.cat([guided, cond[:, CHANNELS:]], 1), torch.cat([guided, uncond[:, CHANNELS:]], 1)])
