"""Video models."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lesa_diffusers import video
from tests.matrix.case import Case, latents, level, noise, tiny


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


HEADS = {"num_attention_heads": 2, "attention_head_dim": 8}
SMALL = {**HEADS, "in_channels": 4, "out_channels": 4, "num_layers": 2}
COG = {
    **SMALL,
    "time_embed_dim": 8,
    "text_embed_dim": 16,
    "sample_width": 4,
    "sample_height": 4,
    "sample_frames": 5,
    "max_text_seq_length": 3,
    "use_rotary_positional_embeddings": True,
}
FRAMES = latents(1, 4, 2, 4, 4)
CASES = (
    Case(
        "ltx",
        video.LTXAdapter,
        tiny("LTXVideoTransformer3DModel", **SMALL, cross_attention_dim=16, caption_channels=16),
        call_ltx,
        latents(1, 4, 4),
    ),
    Case(
        "cogvideox",
        video.CogVideoXAdapter,
        tiny("CogVideoXTransformer3DModel", **COG),
        call_plain,
        latents(1, 2, 4, 4, 4),
    ),
    Case(
        "consisid",
        video.ConsisIDAdapter,
        tiny("ConsisIDTransformer3DModel", **COG),
        call_plain,
        latents(1, 2, 4, 4, 4),
    ),
    Case(
        "hunyuan_video15",
        video.HunyuanVideo15Adapter,
        tiny(
            "HunyuanVideo15Transformer3DModel",
            **SMALL,
            num_refiner_layers=1,
            text_embed_dim=16,
            text_embed_2_dim=8,
            image_embed_dim=8,
            rope_axes_dim=(2, 2, 4),
        ),
        call_hunyuan_video15,
        FRAMES,
    ),
    Case(
        "hunyuan_video_framepack",
        video.HunyuanVideoFramepackAdapter,
        tiny(
            "HunyuanVideoFramepackTransformer3DModel",
            **{**SMALL, "num_layers": 1},
            num_single_layers=1,
            num_refiner_layers=1,
            text_embed_dim=16,
            pooled_projection_dim=8,
            rope_axes_dim=(2, 2, 4),
            has_image_proj=True,
            image_proj_dim=8,
            has_clean_x_embedder=True,
        ),
        call_framepack,
        FRAMES,
    ),
    Case(
        "mochi",
        video.MochiAdapter,
        tiny(
            "MochiTransformer3DModel",
            **SMALL,
            pooled_projection_dim=8,
            text_embed_dim=16,
            time_embed_dim=8,
        ),
        call_mochi,
        FRAMES,
    ),
    Case(
        "allegro",
        video.AllegroAdapter,
        tiny(
            "AllegroTransformer3DModel",
            **{**SMALL, "attention_head_dim": 12},
            cross_attention_dim=24,
            caption_channels=16,
            sample_height=4,
            sample_width=4,
            sample_frames=2,
        ),
        call_allegro,
        FRAMES,
    ),
    Case(
        "latte",
        video.LatteAdapter,
        tiny(
            "LatteTransformer3DModel",
            **{**SMALL, "out_channels": 8},
            cross_attention_dim=16,
            caption_channels=16,
            sample_size=4,
            patch_size=2,
            attention_bias=True,
            norm_type="ada_norm_single",
            norm_elementwise_affine=False,
            num_embeds_ada_norm=1000,
            video_length=2,
        ),
        call_latte,
        FRAMES,
    ),
    Case(
        "easyanimate",
        video.EasyAnimateAdapter,
        tiny(
            "EasyAnimateTransformer3DModel",
            **{**SMALL, "attention_head_dim": 16},
            mmdit_layers=2,
            patch_size=2,
            sample_width=4,
            sample_height=4,
            time_embed_dim=8,
            text_embed_dim=16,
        ),
        call_plain,
        FRAMES,
    ),
    Case(
        "kandinsky5",
        video.Kandinsky5Adapter,
        tiny(
            "Kandinsky5Transformer3DModel",
            in_visual_dim=4,
            out_visual_dim=4,
            in_text_dim=16,
            in_text_dim2=8,
            time_dim=16,
            model_dim=24,
            ff_dim=16,
            num_text_blocks=1,
            num_visual_blocks=2,
            axes_dims=(4, 4, 4),
        ),
        call_kandinsky5,
        lambda size: noise((1, 2, 4, 4 * size, 4), 0),
    ),
    Case(
        "cosmos",
        video.CosmosAdapter,
        tiny(
            "CosmosTransformer3DModel",
            **{**SMALL, "attention_head_dim": 16},
            text_embed_dim=16,
            adaln_lora_dim=4,
            max_size=(4, 16, 16),
            concat_padding_mask=False,  # with it diffusers needs torchvision
        ),
        call_cosmos,
        FRAMES,
    ),
    Case(
        "sana_video",
        video.SanaVideoAdapter,
        tiny(
            "SanaVideoTransformer3DModel",
            **{**SMALL, "attention_head_dim": 12},
            num_cross_attention_heads=2,
            cross_attention_head_dim=12,
            cross_attention_dim=24,
            caption_channels=16,
            sample_size=4,
            rope_max_seq_len=16,
        ),
        call_plain,
        FRAMES,
    ),
    Case(
        "helios",
        video.HeliosAdapter,
        tiny(
            "HeliosTransformer3DModel",
            **{**SMALL, "attention_head_dim": 12},
            text_dim=16,
            freq_dim=8,
            ffn_dim=16,
            rope_dim=(4, 4, 4),
        ),
        call_plain,
        FRAMES,
    ),
    Case(
        "motif_video",
        video.MotifVideoAdapter,
        tiny(
            "MotifVideoTransformer3DModel",
            **SMALL,
            num_single_layers=2,
            num_decoder_layers=1,
            text_embed_dim=16,
            rope_axes_dim=(2, 2, 4),
        ),
        call_plain,
        FRAMES,
    ),
)
