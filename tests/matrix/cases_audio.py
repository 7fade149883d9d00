"""Audio models."""

from __future__ import annotations

from torch import Tensor, nn

from lesa_diffusers import audio
from tests.matrix.case import Case, latents, level, noise, tiny


def call_stable_audio(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, _, length = latent.shape
    return model(
        latent,
        level(latent, sigma),
        noise((batch, 3, 8), prompt),
        noise((batch, 1, 8), prompt),
        rotary_embedding=(noise((length + 1, 4), 5), noise((length + 1, 4), 6)),
        return_dict=False,
    )[0]


def call_ace_step(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, length, _ = latent.shape
    now = level(latent, sigma)
    return model(latent, now, now, noise((batch, 3, 8), prompt), noise((batch, length, 8), 5), return_dict=False)[0]


CASES = (
    Case(
        "stable_audio",
        audio.StableAudioAdapter,
        tiny(
            "StableAudioDiTModel",
            sample_size=8,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            num_key_value_attention_heads=2,
            cross_attention_dim=16,
            cross_attention_input_dim=8,
            time_proj_dim=8,
            global_states_input_dim=8,
        ),
        call_stable_audio,
        lambda size: noise((1, 4, 6 * size), 0),
    ),
    Case(
        "ace_step",
        audio.AceStepAdapter,
        tiny(
            "AceStepTransformer1DModel",
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            in_channels=12,
            audio_acoustic_hidden_dim=4,
            encoder_hidden_size=8,
            sliding_window=4,
        ),
        call_ace_step,
        latents(1, 6, 4),
    ),
)
