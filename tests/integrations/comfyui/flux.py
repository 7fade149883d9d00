"""FLUX as ComfyUI calls it: its names and arguments around the blocks of diffusers' model, weights and all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.fixtures_flux import places


def packed(latent: Tensor) -> Tensor:
    """(batch, channels, height, width) -> (batch, tokens, channels * 4): patches of 2x2, as diffusers' pipeline has."""
    patches = latent.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
    return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


class Final(nn.Module):
    """The last layer: diffusers' norm and projection."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.norm, self.linear = model.norm_out, model.proj_out

    def forward(self, hidden: Tensor, vec: Tensor) -> Tensor:
        projected: Tensor = self.linear(self.norm(hidden, vec))
        return projected


class Flux(nn.Module):
    """Takes a latent in rows and columns, and noise levels from 0 to 1."""

    dtype = torch.float32
    multiplier = 1.0

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.img_in, self.txt_in, self.vector_in = model.x_embedder, model.context_embedder, model.time_text_embed
        self.pe_embedder, self.final_layer = model.pos_embed, Final(model)
        self.double_blocks, self.single_blocks = model.transformer_blocks, model.single_transformer_blocks

    def forward(self, x, timestep, context, y=None, guidance=None, control=None, transformer_options={}, **kwargs):  # noqa: B006
        rows, columns = x.shape[-2] // 2, x.shape[-1] // 2
        image = self.img_in(packed(x))
        text, vec = self.txt_in(context), self.vector_in(timestep * 1000, y)
        rotary = self.pe_embedder(torch.cat([torch.zeros(text.shape[1], 3), places(rows, columns)]))
        for block in (*self.double_blocks, *self.single_blocks):
            text, image = block(hidden_states=image, encoder_hidden_states=text, temb=vec, image_rotary_emb=rotary)
        patches = self.final_layer(image, vec).unflatten(2, (-1, 2, 2)).unflatten(1, (rows, columns))
        return patches.permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


Flux.__module__ = "comfy.ldm.flux.model"
