"""Models with text and image in one sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lesa_diffusers import sequence
from tests.matrix.case import Case, latents, level, noise, tiny


def call_lumina2(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    return model(
        latent,
        level(latent, 1 - sigma),
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        encoder_attention_mask=torch.ones(batch, 3, dtype=torch.bool),
        return_dict=False,
    )[0]


def call_z_image(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    # One tensor for each sample: (channels, frames, height, width).
    samples = list(latent.unsqueeze(2).unbind(0))
    words = [noise((3, 16), prompt) for _ in samples]
    return torch.stack(model(samples, level(latent, 1 - sigma), words, return_dict=False)[0]).squeeze(2)


def call_omnigen(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, _, height, width = latent.shape
    length = 3 + 1 + height * width // 4
    return model(
        latent,
        level(latent, 1 - sigma),
        input_ids=torch.arange(3).add(abs(prompt) * 3 + (prompt < 0)).expand(batch, 3),
        input_img_latents=[],
        input_image_sizes={},
        attention_mask=torch.ones(batch, length, length),
        position_ids=torch.arange(length).expand(batch, length),
        return_dict=False,
    )[0]


CASES = (
    Case(
        "lumina2",
        sequence.Lumina2Adapter,
        tiny(
            "Lumina2Transformer2DModel",
            sample_size=8,
            in_channels=4,
            hidden_size=24,
            num_layers=2,
            num_refiner_layers=1,
            num_attention_heads=2,
            num_kv_heads=1,
            multiple_of=8,
            axes_dim_rope=(4, 4, 4),
            axes_lens=(16, 16, 16),
            cap_feat_dim=16,
        ),
        call_lumina2,
        latents(1, 4, 4, 4),
    ),
    Case(
        "z_image",
        sequence.ZImageAdapter,
        tiny(
            "ZImageTransformer2DModel",
            in_channels=4,
            dim=16,
            n_layers=2,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=16,
            axes_dims=[4, 2, 2],
            axes_lens=[64, 16, 16],
        ),
        call_z_image,
        latents(1, 4, 8, 8),
    ),
    Case(
        "omnigen",
        sequence.OmniGenAdapter,
        tiny(
            "OmniGenTransformer2DModel",
            in_channels=4,
            hidden_size=16,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=16,
            num_layers=2,
            pad_token_id=0,
            vocab_size=64,
            pos_embed_max_size=16,
            time_step_dim=8,
            rope_scaling={"long_factor": [1.0] * 4, "short_factor": [1.0] * 4},
        ),
        call_omnigen,
        latents(1, 4, 4, 4),
    ),
)
