"""The arguments that the pipelines pass to the three transformers besides latent and timestep, for random prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Maker:
    """Makes tensors on the device, in the model's dtype, from one seeded generator."""

    device: torch.device
    dtype: torch.dtype
    generator: torch.Generator

    def normal(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Normal numbers."""
        return torch.randn(shape, device=self.device, dtype=dtype or self.dtype, generator=self.generator)

    def filled(self, *shape: int, value: float, dtype: torch.dtype | None = None) -> Tensor:
        """One number everywhere."""
        return torch.full(shape, value, device=self.device, dtype=dtype or self.dtype)


#: (config of the model, shape of the latent, tokens of the prompt, guidance, maker) -> the model's further arguments.
MakeArguments = Callable[[Mapping[str, Any], tuple[int, ...], int, float, Maker], dict[str, Any]]


def flux_arguments(
    config: Mapping[str, Any], latent: tuple[int, ...], tokens: int, guidance: float, make: Maker
) -> dict[str, Any]:
    """FLUX: two prompts' embeddings, positions, and the guidance that the model was distilled for."""
    batch, edge = latent[0], math.isqrt(latent[1])
    positions = torch.zeros(edge, edge, 3, device=make.device, dtype=make.dtype)
    positions[..., 1] = torch.arange(edge, device=make.device)[:, None]
    positions[..., 2] = torch.arange(edge, device=make.device)[None, :]
    return {
        "encoder_hidden_states": make.normal(batch, tokens, config["joint_attention_dim"]),
        "pooled_projections": make.normal(batch, config["pooled_projection_dim"]),
        "img_ids": positions.reshape(-1, 3),
        "txt_ids": make.filled(tokens, 3, value=0.0),
        "guidance": make.filled(batch, value=guidance, dtype=torch.float32),
    }


def qwen_arguments(
    config: Mapping[str, Any],
    latent: tuple[int, ...],
    tokens: int,
    guidance: float,  # noqa: ARG001 - guidance is two calls here
    make: Maker,
) -> dict[str, Any]:
    """Qwen-Image: one prompt's embeddings without padding, hence without a mask, and the picture's shape."""
    batch, edge = latent[0], math.isqrt(latent[1])
    return {
        "encoder_hidden_states": make.normal(batch, tokens, config["joint_attention_dim"]),
        "encoder_hidden_states_mask": None,
        "img_shapes": [[(1, edge, edge)]] * batch,
    }


def hunyuan_arguments(
    config: Mapping[str, Any], latent: tuple[int, ...], tokens: int, guidance: float, make: Maker
) -> dict[str, Any]:
    """HunyuanVideo: a prompt's embeddings with their mask (which costs the same, full or not), and guidance."""
    batch = latent[0]
    return {
        "encoder_hidden_states": make.normal(batch, tokens, config["text_embed_dim"]),
        "encoder_attention_mask": make.filled(batch, tokens, value=1.0),
        "pooled_projections": make.normal(batch, config["pooled_projection_dim"]),
        "guidance": make.filled(batch, value=guidance * 1000),
    }
