"""The reference HunyuanVideo: a small `HunyuanVideoTransformer3DModel` and the pipeline folder around it."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideoPipeline, HunyuanVideoTransformer3DModel
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE
from torch import Tensor

from lesa_reference.codec import Vae
from lesa_reference.denoiser import Denoiser, start_as_identity
from lesa_reference.flux import SHIFT
from lesa_reference.motion import CLIP_VOCABULARY
from lesa_reference.sizes import HEAD, Sizes
from lesa_reference.text import Chat, Tokens, clip_tokenizer, new_clip, new_llama, new_tokenizer, padded

#: Number of tokens to which prompts are padded for LLaMA; the longest caption of a clip has 18 words.
CLIP_TEXT_TOKENS = 20
#: The same for CLIP; the pipeline allows no other number.
_POOLED_TOKENS = 77


class HunyuanVideoDenoiser(Denoiser):
    """The transformer and its two text encoders, which encode prompts as the pipeline does."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        words = len(CLIP_VOCABULARY)
        self.text_encoder = new_llama(words)
        self.text_encoder_2 = new_clip(64, words, _POOLED_TOKENS)
        self.transformer = HunyuanVideoTransformer3DModel(
            in_channels=12,
            out_channels=12,
            num_attention_heads=sizes.heads,
            attention_head_dim=HEAD,
            num_layers=sizes.blocks,
            num_single_layers=sizes.single_blocks,
            num_refiner_layers=sizes.refiner_blocks,
            guidance_embeds=False,
            text_embed_dim=64,
            pooled_projection_dim=64,
            rope_axes_dim=(8, 12, 12),
        )
        start_as_identity(self.transformer)
        before, after = DEFAULT_PROMPT_TEMPLATE["template"].split("{}")
        self._chat = Chat(before, after, DEFAULT_PROMPT_TEMPLATE["crop_start"])
        self.tokenizer = new_tokenizer("$A", CLIP_VOCABULARY, CLIP_TEXT_TOKENS, self._chat)
        self.clip_tokenizer = clip_tokenizer(CLIP_VOCABULARY, _POOLED_TOKENS)

    def tokens(self, captions: Sequence[str]) -> Tokens:
        """With the chat template around them for LLaMA, and plain for CLIP; both look only back."""
        texts = [self._chat.before + caption + self._chat.after for caption in captions]
        pooled, _ = padded(self.clip_tokenizer, captions, trim=True)
        return Tokens(*padded(self.tokenizer, texts, trim=True), pooled)

    def forward(self, latents: Tensor, sigma: Tensor, tokens: Tokens) -> Tensor:
        """Velocity, (batch, channels, frames, height, width)."""
        states = self.text_encoder(
            input_ids=tokens.sequence, attention_mask=tokens.mask.long(), output_hidden_states=True
        ).hidden_states
        embeds, mask = states[-3][:, self._chat.crop :], tokens.mask[:, self._chat.crop :]
        pooled = self.text_encoder_2(tokens.pooled).pooler_output
        return self.transformer(
            hidden_states=latents,
            timestep=sigma * 1000,
            encoder_hidden_states=embeds,
            encoder_attention_mask=mask.to(embeds.dtype),
            pooled_projections=pooled,
            return_dict=False,
        )[0]

    def pack(self, latents: Tensor) -> Tensor:
        """Unchanged."""
        return latents

    def pipeline(self, vae: Vae) -> HunyuanVideoPipeline:
        """A `HunyuanVideoPipeline`."""
        return HunyuanVideoPipeline(
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            transformer=self.transformer,
            vae=vae,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
            text_encoder_2=self.text_encoder_2,
            tokenizer_2=self.clip_tokenizer,
        )
