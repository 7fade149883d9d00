"""Flow-matching training of a reference denoiser."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lesa_reference.captions import random_scene
from lesa_reference.flux import FluxDenoiser
from lesa_reference.scenes import render
from lesa_reference.trainer import Trainer

#: Share of captions blanked so that guidance has an unconditional branch.
_CAPTION_DROPOUT = 0.1
_EMA_DECAY = 0.999


@dataclass(frozen=True)
class Examples:
    """Encoded training scenes: latents (count, channels, height, width), normalised, and captions."""

    latents: Tensor
    captions: list[str]


@torch.no_grad()
def encode_examples(vae: AutoencoderKL, seed: int, count: int, batch: int = 64) -> Iterator[Examples]:
    """Draw and encode `count` scenes; yields them batch by batch."""
    rng = np.random.default_rng([seed, 3])
    weight = next(vae.parameters())
    for start in range(0, count, batch):
        scenes = [random_scene(rng) for _ in range(min(batch, count - start))]
        pixels = torch.from_numpy(np.stack([render(scene) for scene in scenes])).permute(0, 3, 1, 2) * 2 - 1
        latents = vae.encode(pixels.to(weight.device, weight.dtype)).latent_dist.mean
        latents = (latents - vae.config.shift_factor) * vae.config.scaling_factor
        yield Examples(latents.float().cpu().contiguous(), [scene.caption for scene in scenes])


class DenoiserTrainer(Trainer):
    """Trains a denoiser by flow matching and keeps a moving average of its weights.

    Args:
        model: The denoiser; trained in place.
        examples: What to learn from.
        steps: Length of the whole training.
        seed: Seed of batches, noise and noise levels.
        batch: Samples a step.
    """

    def __init__(self, model: FluxDenoiser, examples: Examples, steps: int, seed: int, batch: int = 64) -> None:
        # Muon orthogonalises the updates of the blocks' matrices; everything else is Adam's.
        matrices = [p for n, p in model.named_parameters() if "_blocks." in n and p.ndim == 2]
        chosen = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        super().__init__(
            model,
            [
                torch.optim.Muon(matrices, lr=2e-3, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
                torch.optim.AdamW(rest, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01),
            ],
            steps,
        )
        self.denoiser, self.examples, self.seed, self.batch = model, examples, seed, batch
        self.average = copy.deepcopy(model).eval().requires_grad_(False)

    def loss(self) -> Tensor:
        """Squared error of the velocity on one batch of noised scenes."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        index = torch.randint(len(self.examples.captions), (self.batch,), generator=random)
        blank = torch.rand(self.batch, generator=random) < _CAPTION_DROPOUT
        captions = ["" if skip else self.examples.captions[i] for i, skip in zip(index, blank, strict=True)]
        clean = self.examples.latents[index]
        noise = torch.randn(clean.shape, generator=random)
        sigma = torch.sigmoid(torch.randn(self.batch, generator=random))
        sigma = 2 * sigma / (1 + sigma)  # towards noise, where the layout is decided
        level = sigma.view(-1, 1, 1, 1)
        noised = ((1 - level) * clean + level * noise).to(self.device)
        velocity = self.denoiser(noised, sigma.to(self.device), captions)
        return (velocity - self.denoiser.pack(noise - clean).to(self.device)).square().mean()

    @torch.no_grad()
    def stepped(self) -> None:
        """Move the average towards the new weights."""
        decay = min(_EMA_DECAY, (1 + self.step) / (10 + self.step))
        for kept, new in zip(self.average.parameters(), self.model.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {**super().state(), "average": self.average.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        super().load(state)
        self.average.load_state_dict(state["average"])
