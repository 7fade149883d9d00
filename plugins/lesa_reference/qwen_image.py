"""The reference Qwen-Image: a small `QwenImageTransformer2DModel` and the pipeline folder around it."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline, QwenImageTransformer2DModel
from torch import Tensor

from lesa_reference.captions import VOCABULARY
from lesa_reference.codec import Vae
from lesa_reference.denoiser import Denoiser, start_as_identity
from lesa_reference.flux import SHIFT
from lesa_reference.sizes import HEAD, Sizes
from lesa_reference.text import TEXT_TOKENS, Chat, Tokens, new_qwen_vl, new_tokenizer, padded


class QwenImageDenoiser(Denoiser):
    """The transformer and its language model, which encodes prompts as the pipeline does."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.text_encoder = new_qwen_vl(len(VOCABULARY))
        self.transformer = QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=32,
            out_channels=8,
            num_layers=sizes.blocks,
            attention_head_dim=HEAD,
            num_attention_heads=sizes.heads,
            joint_attention_dim=96,
            axes_dims_rope=(4, 14, 14),
        )
        start_as_identity(self.transformer)
        pipe = QwenImagePipeline(None, None, None, None, None)
        before, after = pipe.prompt_template_encode.split("{}")
        self._chat = Chat(before, after, pipe.prompt_template_encode_start_idx)
        self.tokenizer = new_tokenizer("$A", VOCABULARY, TEXT_TOKENS, self._chat)

    def tokens(self, captions: Sequence[str]) -> Tokens:
        """With the chat template around them."""
        texts = [self._chat.before + caption + self._chat.after for caption in captions]
        sequence, mask = padded(self.tokenizer, texts, trim=True)
        return Tokens(sequence, mask, sequence[:, :0])

    def forward(self, latents: Tensor, sigma: Tensor, tokens: Tokens) -> Tensor:
        """Velocity, packed: (batch, tokens, 4 * channels)."""
        batch, _, _, height, width = latents.shape
        # The pipeline calls the whole model, whose head and vision tower have no part in what it takes.
        model = self.text_encoder.model.language_model
        hidden = model(input_ids=tokens.sequence, attention_mask=tokens.mask.long()).last_hidden_state
        mask = tokens.mask[:, self._chat.crop :]
        embeds = hidden[:, self._chat.crop :] * mask[..., None]
        return self.transformer(
            hidden_states=self.pack(latents),
            timestep=sigma,
            encoder_hidden_states=embeds,
            encoder_hidden_states_mask=mask,
            img_shapes=[[(1, height // 2, width // 2)]] * batch,
            return_dict=False,
        )[0]

    def pack(self, latents: Tensor) -> Tensor:
        """2x2 patches as tokens."""
        batch, channels, _, height, width = latents.shape
        return QwenImagePipeline._pack_latents(latents, batch, channels, height, width)

    def pipeline(self, vae: Vae) -> QwenImagePipeline:
        """A `QwenImagePipeline`."""
        return QwenImagePipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
            vae=vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            transformer=self.transformer,
        )
