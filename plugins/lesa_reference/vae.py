"""Training of a reference model's VAE."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from lesa_reference.codec import Codec, Vae
from lesa_reference.trainer import Trainer

_KL_WEIGHT = 1e-4


def reconstruction_loss(vae: Vae, batch: Tensor) -> Tensor:
    """Errors of pixels and of edges, and a small term that pulls the latents towards a unit Gaussian."""
    posterior = vae.encode(batch).latent_dist
    restored = vae.decode(posterior.sample()).sample
    error = restored - batch
    edges = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    return error.abs().mean() + edges + error.square().mean() + _KL_WEIGHT * kl


class VaeTrainer(Trainer):
    """Trains the VAE on a pool of drawn examples.

    Args:
        vae: Trained in place.
        codec: Knows the VAE's input.
        drawn: The pool's pixels.
        steps: Length of the whole training.
        seed: Seed of the batches.
        batch: Examples for each step.
    """

    def __init__(self, vae: Vae, codec: Codec, drawn: Tensor, steps: int, seed: int, batch: int = 16) -> None:
        if not any(isinstance(module, nn.Conv3d) for module in vae.modules()):
            vae.to(memory_format=torch.channels_last)
        super().__init__(
            vae, [torch.optim.AdamW(vae.parameters(), lr=2e-3, weight_decay=1e-4, fused=True)], steps, decay=0.9
        )
        self.vae, self.codec, self.drawn, self.seed, self.batch = vae, codec, drawn, seed, batch

    def loss(self) -> Tensor:
        """Reconstruction loss of one batch."""
        rng = np.random.default_rng([self.seed, 1, self.step])
        lesson = self.codec.lesson(self.drawn, rng, self.batch, self.step / self.steps)
        return reconstruction_loss(self.vae, self.codec.pixels(self.upload(lesson)))


@torch.no_grad()
def calibrate(vae: Vae, codec: Codec, drawn: Tensor) -> None:
    """Set the normalisation in the VAE's configuration, so that latents have mean 0 and variance 1."""
    device = next(vae.parameters()).device
    parts = [codec.pixels(part.to(device)) for part in drawn.split(32)]
    codec.calibrate(vae, torch.cat([vae.encode(part).latent_dist.mean for part in parts]))
