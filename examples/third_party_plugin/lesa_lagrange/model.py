"""A small class-conditional transformer whose layout has nothing to do with that of diffusers' models."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class Layer(nn.Module):
    """Attention and an MLP, both residual; noise level and class shift what goes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads=4, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """One layer."""
        normed = self.norm(tokens + condition)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(tokens)


class ClassDiT(nn.Module):
    """Predicts the velocity of a latent for a class label.

    Args:
        channels: Channels of the latent.
        width: Channels inside.
        depth: Layers.
        classes: Class labels; the last one stands for "no class".
    """

    def __init__(self, channels: int = 4, width: int = 64, depth: int = 6, classes: int = 11) -> None:
        super().__init__()
        self.patch = nn.Linear(channels, width)
        self.level = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(depth))
        self.final_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, channels)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """Velocity.

        Args:
            x: The latent, (batch, tokens, channels).
            t: Noise level times 1000, (batch,).
            y: Class labels, (batch,).
        """
        condition = (self.level(t[:, None] / 1000) + self.label(y)).unsqueeze(1)
        tokens = self.patch(x)
        for layer in self.layers:
            tokens = layer(tokens, condition)
        return self.head(self.final_norm(tokens))


@torch.no_grad()
def sample(model: ClassDiT, sigmas: list[float], label: int, *, guidance: float = 3.0, seed: int = 0) -> Tensor:
    """Euler sampling with classifier-free guidance: two calls a step.

    Returns:
        A latent, (1, 64, channels).
    """
    x = torch.randn(1, 64, model.head.out_features, generator=torch.Generator().manual_seed(seed))
    with_class, without = torch.tensor([label]), torch.tensor([model.label.num_embeddings - 1])
    for sigma, following in pairwise(sigmas):
        t = torch.tensor([1000 * sigma])
        guided, plain = model(x, t, with_class), model(x, t, without)
        x = x + (following - sigma) * (plain + guidance * (guided - plain))
    return x
