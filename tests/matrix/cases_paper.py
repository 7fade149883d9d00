"""The systems of the paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lesa_diffusers.joint import FluxAdapter, QwenImageAdapter
from lesa_diffusers.video import HunyuanVideoAdapter
from tests.matrix.case import Case, latents, noise, tiny


def call_flux(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        pooled_projections=noise((batch, 8), prompt),
        timestep=torch.full((batch,), sigma),
        img_ids=torch.zeros(tokens, 3),
        txt_ids=torch.zeros(3, 3),
        return_dict=False,
    )[0]


def call_qwen_image(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        encoder_hidden_states_mask=torch.ones(batch, 3, dtype=torch.long),
        timestep=torch.full((batch,), sigma),
        img_shapes=[[(1, 2, tokens // 2)]] * batch,
        return_dict=False,
    )[0]


def call_hunyuan_video(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    return model(
        hidden_states=latent,
        timestep=torch.full((batch,), sigma * 1000),
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        encoder_attention_mask=torch.ones(batch, 3),
        pooled_projections=noise((batch, 8), prompt),
        guidance=torch.full((batch,), 6000.0),
        return_dict=False,
    )[0]


CASES = (
    Case(
        "flux",
        FluxAdapter,
        tiny(
            "FluxTransformer2DModel",
            in_channels=16,
            num_layers=1,
            num_single_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=8,
            axes_dims_rope=(2, 2, 4),
        ),
        call_flux,
        latents(1, 4, 16),
    ),
    Case(
        "qwen_image",
        QwenImageAdapter,
        tiny(
            "QwenImageTransformer2DModel",
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(2, 2, 4),
        ),
        call_qwen_image,
        latents(1, 4, 16),
    ),
    Case(
        "hunyuan_video",
        HunyuanVideoAdapter,
        tiny(
            "HunyuanVideoTransformer3DModel",
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            patch_size=2,
            patch_size_t=1,
            text_embed_dim=16,
            pooled_projection_dim=8,
            rope_axes_dim=(2, 2, 4),
        ),
        call_hunyuan_video,
        latents(1, 4, 2, 4, 4),
    ),
)
