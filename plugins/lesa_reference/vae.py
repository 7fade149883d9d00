"""The reference models' VAE: a small `AutoencoderKL`, 64x64x3 pictures to 16x16x8 latents."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lesa_reference.captions import random_scene
from lesa_reference.scenes import render
from lesa_reference.trainer import Trainer

_KL_WEIGHT = 1e-4


def new_vae() -> AutoencoderKL:
    """An untrained VAE with a spatial reduction of 4."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=8,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        sample_size=64,
        scaling_factor=1.0,
        shift_factor=0.0,
    )


def pictures(rng: np.random.Generator, count: int) -> Tensor:
    """`count` random scenes, shape (count, 3, 64, 64), in [-1, 1]."""
    stack = np.stack([render(random_scene(rng)) for _ in range(count)])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous() * 2 - 1


def reconstruction_loss(vae: AutoencoderKL, batch: Tensor) -> Tensor:
    """Errors of pixels and of edges, and a small pull of the latents towards a unit Gaussian."""
    posterior = vae.encode(batch).latent_dist
    restored = vae.decode(posterior.sample()).sample
    error = restored - batch
    edges = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    return error.abs().mean() + edges + error.square().mean() + _KL_WEIGHT * kl


class VaeTrainer(Trainer):
    """Trains the VAE on freshly drawn scenes.

    Args:
        vae: Trained in place.
        steps: Length of the whole training.
        seed: Seed of the scenes.
        batch: Pictures a step.
    """

    def __init__(self, vae: AutoencoderKL, steps: int, seed: int, batch: int = 16) -> None:
        vae.to(memory_format=torch.channels_last)
        super().__init__(vae, [torch.optim.AdamW(vae.parameters(), lr=2e-3, weight_decay=1e-4)], steps, decay=0.9)
        self.vae, self.seed, self.batch = vae, seed, batch

    def loss(self) -> Tensor:
        """Reconstruction loss of one batch."""
        pixels = pictures(np.random.default_rng([self.seed, 1, self.step]), self.batch)
        return reconstruction_loss(self.vae, pixels.to(self.device, memory_format=torch.channels_last))


@torch.no_grad()
def calibrate(vae: AutoencoderKL, seed: int, count: int = 256) -> None:
    """Set `scaling_factor` and `shift_factor` so that latents have mean 0 and variance 1."""
    batch = pictures(np.random.default_rng([seed, 2]), count).to(next(vae.parameters()).device)
    mean = torch.cat([vae.encode(part).latent_dist.mean for part in batch.split(64)])
    vae.register_to_config(scaling_factor=float(1 / mean.std()), shift_factor=float(mean.mean()))
