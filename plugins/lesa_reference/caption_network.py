"""The networks of the caption score: does a picture show the things that its caption names?

A small convolutional network, trained on drawn scenes seen through the VAE, gives the probability of every pair of
colour and shape. A picture's score is the mean probability of the pairs that its caption names, so it needs no
reference picture. Clips are smaller and more blurred, so they have a network of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate as resize

from lesa_reference.captions import claims
from lesa_reference.codec import Codec, Vae
from lesa_reference.pool import Pool
from lesa_reference.scenes import COLOURS, GLYPHS, SHAPES, SIZE
from lesa_reference.trainer import Trainer

_NOUNS = (*SHAPES, *GLYPHS)
_PAIRS = {(colour, noun): i for i, (colour, noun) in enumerate((c, n) for c in COLOURS for n in _NOUNS)}
_HERE = Path(__file__).parent
#: Trained through the VAE of FLUX, and through that of HunyuanVideo.
PICTURES, CLIPS = _HERE / "caption_network_pictures.safetensors", _HERE / "caption_network_clips.safetensors"


class CaptionNetwork(nn.Module):
    """Pictures of shape (batch, 3, 64, 64) in [-1, 1] to logits, one for each (colour, shape) pair.

    Every place votes for a colour and for a shape. A pair's evidence at a place is the sum of the two, so what the
    network learns about red rings helps it to recognise red stars.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for depth in range(4):
            following = 24 * min(4, 2**depth)
            layers += [nn.Conv2d(channels, following, 3, stride=2, padding=1), nn.BatchNorm2d(following), nn.SiLU()]
            layers += [nn.Conv2d(following, following, 3, padding=1), nn.BatchNorm2d(following), nn.SiLU()]
            channels = following
        self.trunk = nn.Sequential(*layers)
        self.colours = nn.Conv2d(channels, len(COLOURS), 1)
        self.nouns = nn.Conv2d(channels, len(_NOUNS), 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """A pair counts as shown when it is found at any place in the picture."""
        features = self.trunk(pixels)
        colours, nouns = self.colours(features).flatten(2), self.nouns(features).flatten(2)
        evidence = colours[:, :, None] + nouns[:, None, :]  # (batch, colours, nouns, places)
        return torch.logsumexp(evidence, dim=-1).flatten(1)


def targets(captions: Sequence[str]) -> Tensor:
    """Which pairs each caption names, shape (captions, pairs), 0 or 1."""
    wanted = torch.zeros(len(captions), len(_PAIRS))
    for row, caption in enumerate(captions):
        for claim in claims(caption):
            wanted[row, _PAIRS[claim.colour, claim.shape]] = 1.0
    return wanted


class CaptionNetworkTrainer(Trainer):
    """Trains the network on scenes, half of them seen through the VAE, with a little noise."""

    def __init__(
        self, network: CaptionNetwork, vae: Vae, codec: Codec, pool: Pool, steps: int, seed: int, batch: int = 64
    ) -> None:
        super().__init__(
            network, [torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02, fused=True)], steps, decay=0.8
        )
        self.vae, self.codec, self.seed, self.batch = vae, codec, seed, batch
        self.drawn, self._targets = pool.pixels, targets(pool.captions)

    def loss(self) -> Tensor:
        """Binary cross-entropy over all pairs."""
        rng = np.random.default_rng([self.seed, 4, self.step])
        index = rng.integers(len(self.drawn), size=self.batch)
        drawn = self.codec.pixels(self.upload(self.drawn[index]))
        half = self.batch // 2
        with torch.no_grad():
            drawn[:half] = self.vae.decode(self.vae.encode(drawn[:half]).latent_dist.mean).sample
        pixels = self.codec.frames(drawn)
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        noise = torch.randn(pixels.shape, generator=random) * torch.rand(self.batch, 1, 1, 1, generator=random) * 0.08
        wanted = self.upload(self._targets[index])
        logits = self.model(pixels + self.upload(noise))
        # At most two of the 112 pairs are shown: without the weight, "none" would be a good answer.
        weight = torch.tensor(8.0, device=self.device)
        return nn.functional.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight) * 10


def load_network(path: Path) -> CaptionNetwork:
    """A trained network: one of the bundled ones, or one that a training left in its work folder."""
    network = CaptionNetwork()
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return network.eval().requires_grad_(False)


def is_clip(pixels: Tensor) -> bool:
    """Whether there is an axis of frames: (batch, frames, 3, height, width)."""
    return pixels.ndim == 5


@torch.no_grad()
def caption_scores(network: CaptionNetwork, pixels: Tensor, captions: Sequence[str]) -> list[float | None]:
    """How well each picture shows what its caption names.

    Args:
        network: From `load_network`, for pictures or for clips.
        pixels: Pictures, shape (batch, 3, 64, 64), in [0, 1]; of clips (frames as second axis) only the
            middle frame counts.
        captions: One for each picture.

    Returns:
        The mean probability, in [0, 1], that the named things are shown; None where a caption names none.
    """
    still = pixels[:, pixels.shape[1] // 2] if is_clip(pixels) else pixels
    chances = torch.sigmoid(network(resize(still.float(), (SIZE, SIZE), mode="bilinear") * 2 - 1))
    wanted = targets(captions).to(chances.device).bool()
    return [float(row[mask].mean()) if mask.any() else None for row, mask in zip(chances, wanted, strict=True)]
