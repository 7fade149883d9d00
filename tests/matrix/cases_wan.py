"""Wan and its family."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lesa_diffusers import wan
from tests.matrix.case import Case, latents, level, noise, tiny

SMALL = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 16,
    "freq_dim": 8,
    "ffn_dim": 16,
    "num_layers": 2,
    "rope_max_seq_len": 32,
}


def call_wan(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    words = noise((latent.shape[0], 3, 16), prompt).to(latent.dtype)
    return model(latent, level(latent, sigma * 1000), words, return_dict=False)[0]


def call_diffusion_forcing(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    """A noise level for every frame."""
    batch, _, frames = latent.shape[:3]
    levels = torch.full((batch, frames), sigma * 1000)
    words = noise((batch, 3, 16), prompt)
    return model(latent, levels, words, enable_diffusion_forcing=True, return_dict=False)[0]


def call_wan_vace(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, _, *sizes = latent.shape
    return model(
        latent,
        level(latent, sigma * 1000),
        noise((batch, 3, 16), prompt),
        control_hidden_states=noise((batch, 6, *sizes), 7),
        return_dict=False,
    )[0]


def call_wan_animate(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, _, frames, height, width = latent.shape
    reference = torch.zeros(batch, 8, frames, height, width)
    return model(
        torch.cat([latent, reference], dim=1),
        level(latent, sigma * 1000),
        noise((batch, 3, 16), prompt),
        encoder_hidden_states_image=noise((batch, 2, 16), 4),
        pose_hidden_states=noise((batch, 4, frames - 1, height, width), 5),
        face_pixel_values=noise((batch, 3, 4 * (frames - 1) + 1, 16, 16), 6)[:, :, : 4 * (frames - 1)],
        return_dict=False,
    )[0]


CASES = (
    Case("wan", wan.WanAdapter, tiny("WanTransformer3DModel", **SMALL), call_wan, latents(1, 4, 2, 4, 4)),
    Case(
        "wan_vace",
        wan.WanVACEAdapter,
        tiny("WanVACETransformer3DModel", **SMALL, vace_layers=[0], vace_in_channels=6),
        call_wan_vace,
        latents(1, 4, 2, 4, 4),
    ),
    Case(
        "wan_animate",
        wan.WanAnimateAdapter,
        tiny(
            "WanAnimateTransformer3DModel",
            **{**SMALL, "in_channels": 12},
            latent_channels=4,
            image_dim=16,
            added_kv_proj_dim=24,
            motion_encoder_channel_sizes={"4": 8, "8": 8, "16": 8},
            motion_encoder_size=16,
            motion_style_dim=8,
            motion_dim=4,
            motion_encoder_dim=16,
            face_encoder_hidden_dim=16,
            face_encoder_num_heads=2,
            inject_face_latents_blocks=2,
        ),
        call_wan_animate,
        latents(1, 4, 2, 4, 4),
    ),
    Case(
        "chrono_edit",
        wan.ChronoEditAdapter,
        tiny("ChronoEditTransformer3DModel", **SMALL),
        call_wan,
        latents(1, 4, 2, 4, 4),
    ),
    Case(
        "skyreels_v2",
        wan.SkyReelsV2Adapter,
        tiny("SkyReelsV2Transformer3DModel", **SMALL),
        call_wan,
        latents(1, 4, 2, 4, 4),
        (call_diffusion_forcing,),
    ),
)
