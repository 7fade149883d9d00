"""Flow-matching training of a reference denoiser."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lesa_reference.codec import Codec, Vae
from lesa_reference.muon import BatchedMuon
from lesa_reference.pool import Pool
from lesa_reference.text import Tokens
from lesa_reference.trainer import Trainer

#: Share of captions blanked so that guidance has an unconditional branch.
_CAPTION_DROPOUT = 0.1
_EMA_DECAY = 0.999
#: Scenes that go through the VAE at a time.
_ENCODED = 64


class Denoiser(nn.Module, ABC):
    """What is trained: a transformer and the text encoders that condition it."""

    transformer: nn.Module

    @abstractmethod
    def tokens(self, captions: Sequence[str]) -> Tokens:
        """Captions as `forward` gets them; the empty string means no caption."""

    @abstractmethod
    def forward(self, latents: Tensor, sigma: Tensor, tokens: Tokens) -> Tensor:
        """Velocity at noise level `sigma`.

        Args:
            latents: Noised latents, batch first, normalised.
            sigma: Noise level of each sample, shape (batch,), in [0, 1].
            tokens: One row for each sample.

        Returns:
            Predicted `noise - clean` in the layout of `pack`.
        """

    @abstractmethod
    def pack(self, latents: Tensor) -> Tensor:
        """Latents in the layout that the pipeline uses."""

    @abstractmethod
    def pipeline(self, vae: Vae) -> Any:
        """The whole diffusers pipeline, ready for `save_pretrained`."""


def start_as_identity(transformer: nn.Module) -> None:
    """adaLN-zero: blocks start as the identity, which trains faster than diffusers' default init."""
    for name, module in transformer.named_modules():
        modulates = ".norm" in name or "_mod." in name or name in ("norm_out.linear", "proj_out")
        if isinstance(module, nn.Linear) and modulates:
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class Examples:
    """Encoded training examples: latents (count, channels, [frames,] height, width), normalised, and captions."""

    latents: Tensor
    captions: list[str]


@torch.no_grad()
def encode_examples(vae: Vae, codec: Codec, pool: Pool) -> Iterator[Examples]:
    """Encode a pool; yields the examples batch by batch."""
    weight = next(vae.parameters())
    for start in range(0, len(pool.captions), _ENCODED):
        pixels = codec.pixels(pool.pixels[start : start + _ENCODED].to(weight.device)).to(weight.dtype)
        latents = codec.normalise(vae, vae.encode(pixels).latent_dist.mean)
        yield Examples(latents.float().cpu().contiguous(), pool.captions[start : start + _ENCODED])


class DenoiserTrainer(Trainer):
    """Trains a denoiser by flow matching and keeps a moving average of its weights.

    Args:
        model: The denoiser; trained in place.
        examples: What to learn from.
        steps: Length of the whole training.
        seed: Seed of batches, noise and noise levels.
        batch: Samples for each step.
        seconds: Length of the training in time, instead of `steps`.
        compiled: Run the denoiser through `torch.compile`; on a GPU as CUDA graphs, which need no launches.
    """

    def __init__(
        self,
        model: Denoiser,
        examples: Examples,
        steps: int,
        seed: int,
        batch: int = 64,
        seconds: float | None = None,
        compiled: bool = False,
    ) -> None:
        # Muon orthogonalises the updates of the blocks' matrices; everything else is Adam's.
        matrices = [p for n, p in model.named_parameters() if "_blocks." in n and p.ndim == 2]
        chosen = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        super().__init__(
            model,
            [
                BatchedMuon(matrices, lr=2e-3, weight_decay=0.01),
                torch.optim.AdamW(rest, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
            ],
            steps,
            seconds=seconds,
            compiled=compiled,
        )
        self._velocity: Callable[..., Tensor] = model
        self.denoiser, self.seed, self.batch = model, seed, batch
        self._latents = examples.latents.to(self.device)
        # Everything that is read of a caption is read once. Row 0 is that of a blanked one.
        row = {caption: number for number, caption in enumerate(dict.fromkeys(["", *examples.captions]))}
        self._row = torch.tensor([row[caption] for caption in examples.captions])
        self._tokens = model.tokens(list(row)).to(self.device)
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self._kept: list[Tensor] = list(self.average.parameters())
        self._new: list[Tensor] = list(model.parameters())
        if compiled:
            with torch.no_grad():
                self.loss()  # transformers' models set themselves up at their first call, which no compiler understands
            mode = "reduce-overhead" if self.device.type == "cuda" else "default"
            self._velocity = torch.compile(model, mode=mode)

    def loss(self) -> Tensor:
        """Squared error of the velocity on one batch of noised scenes."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        index = torch.randint(len(self._row), (self.batch,), generator=random)
        blank = torch.rand(self.batch, generator=random) < _CAPTION_DROPOUT
        noise = torch.randn(self.batch, *self._latents.shape[1:], generator=random)
        sigma = torch.sigmoid(torch.randn(self.batch, generator=random))
        sigma = 2 * sigma / (1 + sigma)  # more often at high noise levels, where the layout is decided
        row = self._row[index].masked_fill(blank, 0)
        index, row, noise, sigma = (self.upload(tensor) for tensor in (index, row, noise, sigma))
        clean = self._latents[index]
        level = sigma.view(-1, *[1] * (clean.ndim - 1))
        velocity = self._velocity((1 - level) * clean + level * noise, sigma, self._tokens.rows(row))
        return (velocity - self.denoiser.pack(noise - clean)).square().mean()

    @torch.no_grad()
    def stepped(self) -> None:
        """Move the average towards the new weights."""
        decay = min(_EMA_DECAY, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self._kept, self._new, 1 - decay)

    def state(self) -> dict[str, Any]:
        """Everything that resuming needs."""
        return {**super().state(), "average": self.average.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from what `state` returned."""
        super().load(state)
        self.average.load_state_dict(state["average"])
