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


def call_ernie_image(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    words, lengths = noise((batch, 3, 16), prompt), torch.full((batch,), 3)
    return model(latent, level(latent, sigma * 1000), words, lengths, return_dict=False)[0]


def call_krea2(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        latent,
        noise((batch, 3, 2, 16), prompt),
        level(latent, sigma),
        torch.arange(3 * (3 + tokens)).view(-1, 3).float(),
        return_dict=False,
    )[0]


def call_bria_fibo2(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return model(latent, level(latent, sigma), noise((latent.shape[0], 2, 3, 16), prompt), return_dict=False)[0]


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
    Case(
        "ernie_image",
        sequence.ErnieImageAdapter,
        tiny(
            "ErnieImageTransformer2DModel",
            hidden_size=16,
            num_attention_heads=2,
            num_layers=2,
            ffn_hidden_size=16,
            in_channels=4,
            out_channels=4,
            text_in_dim=16,
            rope_axes_dim=(2, 2, 4),
        ),
        call_ernie_image,
        latents(1, 4, 4, 4),
    ),
    Case(
        "krea2",
        sequence.Krea2Adapter,
        tiny(
            "Krea2Transformer2DModel",
            in_channels=16,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=16,
            timestep_embed_dim=8,
            text_hidden_dim=16,
            num_text_layers=2,
            text_num_attention_heads=2,
            text_num_key_value_heads=2,
            text_intermediate_size=16,
            num_layerwise_text_blocks=1,
            num_refiner_text_blocks=1,
            axes_dims_rope=(2, 2, 4),
        ),
        call_krea2,
        latents(1, 4, 16),
    ),
    Case(
        "bria_fibo2",
        sequence.BriaFibo2Adapter,
        tiny(
            "BriaFibo2Transformer2DModel",
            in_channels=4,
            dim=32,
            n_layers=2,
            n_refiner_layers=1,
            n_heads=2,
            cap_feat_dim=16,
            injection_layer_ids=(1,),
            perceiver_num_layers=1,
            min_num_gist_tokens=2,
            max_num_gist_tokens=4,
            gist_step=1,
            gist_min_text_len=2,
            gist_max_text_len=8,
            axes_dims=(4, 4, 8),
            axes_lens=(64, 16, 16),
        ),
        call_bria_fibo2,
        latents(1, 4, 4, 4),
    ),
)
