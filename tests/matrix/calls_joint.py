"""How the models of cases_joint.py are called."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.matrix.case import level, noise

FLUX_LIKE = {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 16,
}
COGVIEW = {
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "text_embed_dim": 16,
    "time_embed_dim": 16,
    "condition_dim": 4,
    "sample_size": 8,
}
SIZES = torch.tensor([[16.0, 16.0]])


def call_flux_like(model: nn.Module, latent: Tensor, sigma: float, prompt: int, scale: float = 1.0) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        timestep=level(latent, sigma * scale),
        img_ids=torch.zeros(tokens, 3),
        txt_ids=torch.zeros(3, 3),
        return_dict=False,
    )[0]


def call_flux2(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        timestep=level(latent, sigma),
        img_ids=torch.zeros(tokens, 4),
        txt_ids=torch.zeros(3, 4),
        guidance=level(latent, 4.0),
        return_dict=False,
    )[0]


def call_bria(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return call_flux_like(model, latent, sigma, prompt, 1000)


def call_bria_fibo(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        text_encoder_layers=[noise((batch, 3, 8), prompt + layer) for layer in range(3)],
        timestep=level(latent, sigma * 1000),
        img_ids=torch.zeros(tokens, 3),
        txt_ids=torch.zeros(3, 3),
        return_dict=False,
    )[0]


def call_sd3(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        pooled_projections=noise((batch, 8), prompt),
        timestep=level(latent, sigma * 1000),
        return_dict=False,
    )[0]


def call_hunyuan_image(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    return model(
        hidden_states=latent,
        timestep=level(latent, sigma * 1000),
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        encoder_attention_mask=torch.ones(batch, 3),
        return_dict=False,
    )[0]


def call_aura_flow(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((latent.shape[0], 3, 16), prompt),
        timestep=level(latent, sigma),
        return_dict=False,
    )[0]


def call_cogview(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        timestep=level(latent, sigma * 1000),
        original_size=SIZES.expand(batch, 2),
        target_size=SIZES.expand(batch, 2),
        crop_coords=torch.zeros(batch, 2),
        return_dict=False,
    )[0]


def call_hidream(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    return model(
        hidden_states=latent,
        timesteps=level(latent, sigma * 1000),
        encoder_hidden_states_t5=noise((batch, 3, 16), prompt),
        encoder_hidden_states_llama3=noise((2, batch, 3, 16), prompt),
        pooled_embeds=noise((batch, 8), prompt),
        return_dict=False,
    )[0]


def call_glm_image(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, _, height, width = latent.shape
    tokens = height * width // 4
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        prior_token_id=torch.arange(tokens).expand(batch, tokens),
        prior_token_drop=torch.zeros(batch, tokens, dtype=torch.bool),
        timestep=level(latent, sigma * 1000 - 1),
        target_size=SIZES.expand(batch, 2),
        crop_coords=torch.zeros(batch, 2),
        return_dict=False,
    )[0]


def call_nucleus(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        latent,
        [(1, 2, tokens // 2)] * batch,
        noise((batch, 3, 16), prompt),
        timestep=level(latent, sigma),
        return_dict=False,
    )[0]


def call_qwen_image21(model: nn.Module, latent: Tensor, sigma: float, prompt: int, **more: Any) -> Tensor:
    batch, tokens = latent.shape[:2]
    # A slot stands for four tokens; three slots are words.
    slots = torch.arange(3 + tokens // 4).expand(batch, -1) >= 3
    output = model(
        latent,
        noise((batch, 3, 16), prompt),
        level(latent, sigma),
        [[(1, 2, tokens // 2)]] * batch,
        slots,
        return_dict=False,
        **more,
    )[0]
    return output[:, -tokens:]


def call_joyimage(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return model(latent, level(latent, sigma * 1000), noise((latent.shape[0], 3, 16), prompt), return_dict=False)[0]
