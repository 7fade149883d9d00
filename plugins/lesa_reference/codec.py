"""What a reference model draws, and how its VAE reads it: pictures for 2-D and 3-D VAEs, and clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderKLHunyuanVideo, AutoencoderKLQwenImage
from torch import Tensor
from torch.nn import functional as F

from lesa_reference.scenes import SIZE

#: A diffusers autoencoder. The three classes share `encode` and `decode`, but no base class that declares them.
Vae: TypeAlias = Any


class Codec(ABC):
    """A VAE's class, its input and its normalisation, as its pipeline has them."""

    vae_class: ClassVar[Vae]

    @abstractmethod
    def new(self) -> Vae:
        """An untrained VAE."""

    def load(self, folder: str) -> Vae:
        """A trained VAE."""
        return self.vae_class.from_pretrained(folder)

    @abstractmethod
    def calibrate(self, vae: Vae, latents: Tensor) -> None:
        """Set the VAE's configuration so that latents like these have mean 0 and variance 1."""

    @abstractmethod
    def normalise(self, vae: Vae, latents: Tensor) -> Tensor:
        """Latents as the denoiser gets them."""

    def pixels(self, drawn: Tensor) -> Tensor:
        """Drawn examples, uint8 with a batch axis, in [-1, 1] and in the VAE's layout."""
        return drawn.float() / 127.5 - 1

    def lesson(self, drawn: Tensor, rng: np.random.Generator, count: int, done: float) -> Tensor:  # noqa: ARG002
        """What one step of the VAE's training takes of a pool; `done` is the share of the training that is over."""
        return drawn[rng.integers(len(drawn), size=count)]

    def frames(self, pixels: Tensor) -> Tensor:
        """What the caption score looks at: pictures of shape (batch, 3, 64, 64)."""
        return pixels


#: A VAE for clips sees clips after this share of its training, and single frames before.
_CLIPS_FROM = 0.6


class PictureCodec(Codec):
    """`AutoencoderKL`: 64x64x3 pictures to 16x16x8 latents."""

    vae_class = AutoencoderKL

    def new(self) -> Vae:
        """An untrained VAE with a spatial reduction of 4."""
        return self.vae_class(
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(16, 32, 64),
            layers_per_block=1,
            latent_channels=8,
            norm_num_groups=8,
            mid_block_add_attention=False,
            use_quant_conv=False,
            use_post_quant_conv=False,
            sample_size=SIZE,
            scaling_factor=1.0,
            shift_factor=0.0,
        )

    def calibrate(self, vae: Vae, latents: Tensor) -> None:
        """One shift and one scale for all channels."""
        vae.register_to_config(scaling_factor=float(1 / latents.std()), shift_factor=float(latents.mean()))

    def normalise(self, vae: Vae, latents: Tensor) -> Tensor:
        """Shift, then scale."""
        return (latents - vae.config.shift_factor) * vae.config.scaling_factor


class QwenPictureCodec(Codec):
    """`AutoencoderKLQwenImage`, a video VAE used on single frames: 64x64x3 pictures to 16x16x8 latents."""

    vae_class = AutoencoderKLQwenImage

    def new(self) -> Vae:
        """An untrained VAE with a spatial reduction of 4 and none in time."""
        return self.vae_class(
            base_dim=12,
            z_dim=8,
            dim_mult=[1, 2, 4],
            num_res_blocks=1,
            temperal_downsample=[False, False],
            latents_mean=[0.0] * 8,
            latents_std=[1.0] * 8,
        )

    def pixels(self, drawn: Tensor) -> Tensor:
        """Each picture as a clip of one frame, (batch, 3, 1, 64, 64)."""
        return super().pixels(drawn)[:, :, None]

    def calibrate(self, vae: Vae, latents: Tensor) -> None:
        """One shift and one scale for each channel."""
        flat = latents.transpose(0, 1).flatten(1)
        vae.register_to_config(latents_mean=flat.mean(dim=1).tolist(), latents_std=flat.std(dim=1).tolist())

    def normalise(self, vae: Vae, latents: Tensor) -> Tensor:
        """Channel by channel."""
        mean, std = (
            torch.tensor(numbers, device=latents.device).view(1, -1, 1, 1, 1)
            for numbers in (vae.config.latents_mean, vae.config.latents_std)
        )
        return (latents - mean) / std

    def frames(self, pixels: Tensor) -> Tensor:
        """The only frame."""
        return pixels[:, :, 0]


class ClipCodec(Codec):
    """`AutoencoderKLHunyuanVideo`: clips of 9 frames of 48x48 pixels to 3x12x12x12 latents."""

    vae_class = AutoencoderKLHunyuanVideo

    def new(self) -> Vae:
        """An untrained VAE with a reduction of 4 in space and time."""
        return self.vae_class(
            latent_channels=12,
            down_block_types=("HunyuanVideoDownBlock3D",) * 3,
            up_block_types=("HunyuanVideoUpBlock3D",) * 3,
            block_out_channels=(12, 24, 42),
            layers_per_block=1,
            norm_num_groups=6,
            spatial_compression_ratio=4,
            temporal_compression_ratio=4,
            mid_block_add_attention=False,
            scaling_factor=1.0,
        )

    def lesson(self, drawn: Tensor, rng: np.random.Generator, count: int, done: float) -> Tensor:
        """Single frames first, five times as many: they teach colours and shapes for a fraction of the cost."""
        if done >= _CLIPS_FROM:
            return super().lesson(drawn, rng, count, done)
        clip, frame = (rng.integers(size, size=5 * count) for size in (len(drawn), drawn.shape[2]))
        return drawn[clip, :, frame][:, :, None]

    def calibrate(self, vae: Vae, latents: Tensor) -> None:
        """One scale; this class has no shift."""
        vae.register_to_config(scaling_factor=float(1 / latents.std()))

    def normalise(self, vae: Vae, latents: Tensor) -> Tensor:
        """Scale."""
        return latents * vae.config.scaling_factor

    def frames(self, pixels: Tensor) -> Tensor:
        """The middle frame, enlarged."""
        return F.interpolate(pixels[:, :, pixels.shape[2] // 2], (SIZE, SIZE), mode="bilinear")
