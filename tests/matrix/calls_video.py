"""How the models of cases_video.py are called."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.matrix.case import level, noise


def words(latent: Tensor, prompt: int) -> Tensor:
    return noise((latent.shape[0], 3, 16), prompt)


def call_plain(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return model(
        hidden_states=latent,
        timestep=level(latent, sigma * 1000),
        encoder_hidden_states=words(latent, prompt),
        return_dict=False,
    )[0]


def call_ltx(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        latent,
        words(latent, prompt),
        level(latent, sigma * 1000),
        torch.ones(batch, 3),
        num_frames=1,
        height=2,
        width=tokens // 2,
        return_dict=False,
    )[0]


def call_hunyuan_video15(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    return model(
        latent,
        level(latent, sigma * 1000),
        words(latent, prompt),
        torch.ones(batch, 3),
        encoder_hidden_states_2=noise((batch, 2, 8), prompt),
        encoder_attention_mask_2=torch.ones(batch, 2),
        image_embeds=torch.zeros(batch, 2, 8),
        return_dict=False,
    )[0]


def call_framepack(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, channels, frames, height, width = latent.shape
    return model(
        latent,
        level(latent, sigma * 1000),
        words(latent, prompt),
        torch.ones(batch, 3),
        noise((batch, 8), prompt),
        image_embeds=noise((batch, 2, 8), 4),
        indices_latents=torch.arange(1, frames + 1),
        guidance=level(latent, 6000.0),
        latents_clean=noise((batch, channels, 1, height, width), 5),
        indices_latents_clean=torch.zeros(1),
        latents_history_2x=noise((batch, channels, 2, height, width), 6),
        indices_latents_history_2x=torch.arange(2),
        latents_history_4x=noise((batch, channels, 4, height, width), 7),
        indices_latents_history_4x=torch.arange(4),
        return_dict=False,
    )[0]


def call_mochi(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    mask = torch.ones(latent.shape[0], 3, dtype=torch.bool)
    return model(latent, words(latent, prompt), level(latent, 1000 - sigma * 1000), mask, return_dict=False)[0]


def call_allegro(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return model(
        latent,
        words(latent, prompt),
        level(latent, sigma * 1000),
        encoder_attention_mask=torch.ones(latent.shape[0], 3),
        return_dict=False,
    )[0]


def call_latte(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return call_plain(model, latent, sigma, prompt).chunk(2, dim=1)[0]


def call_latte_without_time(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    step, said = level(latent, sigma * 1000), words(latent, prompt)
    output = model(latent, step, encoder_hidden_states=said, enable_temporal_attentions=False, return_dict=False)[0]
    return output.chunk(2, dim=1)[0]


def call_kandinsky5(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    # Channels come last.
    batch, frames, height, width, _ = latent.shape
    return model(
        latent,
        words(latent, prompt),
        level(latent, sigma * 1000),
        noise((batch, 8), prompt),
        [torch.arange(frames), torch.arange(height // 2), torch.arange(width // 2)],
        torch.arange(3),
        return_dict=True,
    ).sample


def call_cosmos(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return model(latent, level(latent, sigma), words(latent, prompt), fps=16, return_dict=False)[0]
