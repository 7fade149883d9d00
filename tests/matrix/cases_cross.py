"""Image models with cross-attention or class labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lesa_diffusers import cross
from tests.matrix.case import Case, latents, level, noise, tiny


def call_dit(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    label = torch.full((latent.shape[0],), prompt % 4)
    timestep = level(latent, sigma * 1000).long()
    # The second half of the channels is the variance.
    return model(latent, timestep, label, return_dict=False)[0].chunk(2, dim=1)[0]


def call_pixart(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return model(
        latent,
        encoder_hidden_states=noise((latent.shape[0], 3, 16), prompt),
        timestep=level(latent, sigma * 1000),
        added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        return_dict=False,
    )[0].chunk(2, dim=1)[0]


def call_hunyuan_dit(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    tokens = latent.shape[-1] * latent.shape[-2] // 4
    return model(
        latent,
        level(latent, sigma * 1000),
        encoder_hidden_states=noise((batch, 2, 16), prompt),
        text_embedding_mask=torch.ones(batch, 2),
        encoder_hidden_states_t5=noise((batch, 3, 8), prompt),
        text_embedding_mask_t5=torch.ones(batch, 3),
        image_meta_size=torch.full((batch, 6), 8.0),
        style=torch.zeros(batch, dtype=torch.long),
        image_rotary_emb=(noise((tokens, 8), 5), noise((tokens, 8), 6)),
        return_dict=False,
    )[0].chunk(2, dim=1)[0]


def call_sana(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return model(
        latent,
        encoder_hidden_states=noise((latent.shape[0], 3, 16), prompt),
        timestep=level(latent, sigma * 1000),
        return_dict=False,
    )[0]


def call_prx(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    words = noise((latent.shape[0], 3, 16), prompt)
    return model(latent, level(latent, sigma), words, return_dict=False)[0]


def call_lumina_next(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    from diffusers.models.embeddings import get_2d_rotary_pos_embed_lumina

    batch = latent.shape[0]
    return model(
        latent,
        level(latent, 1 - sigma),
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        encoder_mask=torch.ones(batch, 3),
        image_rotary_emb=get_2d_rotary_pos_embed_lumina(8, 16, 16),
        cross_attention_kwargs={"base_sequence_length": None},
        return_dict=False,
    )[0].chunk(2, dim=1)[0]


SMALL = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2}
CASES = (
    Case(
        "dit",
        cross.DiTAdapter,
        tiny(
            "DiTTransformer2DModel",
            **SMALL,
            in_channels=4,
            out_channels=8,
            sample_size=4,
            norm_num_groups=2,
            num_embeds_ada_norm=4,
            attention_bias=True,
        ),
        call_dit,
        # Its tail takes every picture for a square.
        lambda size: noise((1, 4, 4 * size, 4 * size), 0),
    ),
    Case(
        "pixart",
        cross.PixArtAdapter,
        tiny(
            "PixArtTransformer2DModel",
            **SMALL,
            in_channels=4,
            out_channels=8,
            sample_size=4,
            norm_num_groups=2,
            cross_attention_dim=16,
            caption_channels=16,
            use_additional_conditions=False,
        ),
        call_pixart,
        latents(1, 4, 4, 4),
    ),
    Case(
        "hunyuan_dit",
        cross.HunyuanDiTAdapter,
        tiny(
            "HunyuanDiT2DModel",
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=4,
            in_channels=4,
            patch_size=2,
            sample_size=8,
            hidden_size=16,
            cross_attention_dim=16,
            cross_attention_dim_t5=8,
            pooled_projection_dim=8,
            text_len=2,
            text_len_t5=3,
        ),
        call_hunyuan_dit,
        latents(1, 4, 4, 4),
    ),
    Case(
        "sana",
        cross.SanaAdapter,
        tiny(
            "SanaTransformer2DModel",
            **SMALL,
            in_channels=4,
            out_channels=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=8,
            cross_attention_dim=16,
            caption_channels=16,
            sample_size=4,
        ),
        call_sana,
        latents(1, 4, 4, 4),
    ),
    Case(
        "prx",
        cross.PrxAdapter,
        tiny(
            "PRXTransformer2DModel",
            in_channels=4,
            context_in_dim=16,
            hidden_size=16,
            num_heads=2,
            depth=2,
            axes_dim=[4, 4],
        ),
        call_prx,
        latents(1, 4, 4, 4),
    ),
    Case(
        "lumina_next",
        cross.LuminaNextAdapter,
        tiny(
            "LuminaNextDiT2DModel",
            sample_size=8,
            in_channels=4,
            hidden_size=16,
            num_layers=2,
            num_attention_heads=2,
            num_kv_heads=1,
            multiple_of=8,
            cross_attention_dim=16,
        ),
        call_lumina_next,
        latents(1, 4, 4, 4),
    ),
)
