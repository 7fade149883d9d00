"""The reference FLUX: a small `FluxTransformer2DModel` and the pipeline folder around it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor

from lesa_reference.codec import Vae
from lesa_reference.denoiser import Denoiser, start_as_identity
from lesa_reference.sizes import HEAD, Sizes
from lesa_reference.text import Tokens, clip_tokenizer, new_clip, new_t5, padded, t5_tokenizer

#: FLUX.1-dev shifts its grid by exp(1.15) = 3.16 at 1024x1024; ours is fixed.
SHIFT = 3.0


class FluxDenoiser(Denoiser):
    """The transformer and its two text encoders."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.text_encoder = new_clip()
        self.text_encoder_2 = new_t5()
        self.transformer = FluxTransformer2DModel(
            in_channels=32,
            num_layers=sizes.blocks,
            num_single_layers=sizes.single_blocks,
            attention_head_dim=HEAD,
            num_attention_heads=sizes.heads,
            joint_attention_dim=96,
            pooled_projection_dim=64,
            guidance_embeds=False,
            axes_dims_rope=(4, 14, 14),
        )
        start_as_identity(self.transformer)
        self.clip_tokenizer, self.t5_tokenizer = clip_tokenizer(), t5_tokenizer()

    def tokens(self, captions: Sequence[str]) -> Tokens:
        """T5 reads the padding too, as in the pipeline; CLIP looks only back."""
        pooled, _ = padded(self.clip_tokenizer, captions, trim=True)
        return Tokens(*padded(self.t5_tokenizer, captions, trim=False), pooled)

    def forward(self, latents: Tensor, sigma: Tensor, tokens: Tokens) -> Tensor:
        """Velocity, packed: (batch, tokens, 4 * channels)."""
        batch, channels, height, width = latents.shape
        device = latents.device
        pooled = self.text_encoder(tokens.pooled).pooler_output
        sequence = self.text_encoder_2(tokens.sequence)[0]
        return self.transformer(
            hidden_states=FluxPipeline._pack_latents(latents, batch, channels, height, width),
            timestep=sigma,
            pooled_projections=pooled,
            encoder_hidden_states=sequence,
            txt_ids=torch.zeros(sequence.shape[1], 3, device=device),
            img_ids=FluxPipeline._prepare_latent_image_ids(batch, height // 2, width // 2, device, latents.dtype),
            return_dict=False,
        )[0]

    def pack(self, latents: Tensor) -> Tensor:
        """2x2 patches as tokens."""
        return FluxPipeline._pack_latents(latents, *latents.shape)

    def pipeline(self, vae: Vae) -> FluxPipeline:
        """A `FluxPipeline`."""
        return FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
            vae=vae,
            text_encoder=self.text_encoder,
            tokenizer=self.clip_tokenizer,
            text_encoder_2=self.text_encoder_2,
            tokenizer_2=self.t5_tokenizer,
            transformer=self.transformer,
        )
