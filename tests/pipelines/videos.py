"""Pipelines that make videos."""

from __future__ import annotations

from typing import Any

from tests.matrix.case import noise, tiny
from tests.matrix.cases_video import COG, SMALL
from tests.matrix.cases_wan import SMALL as WAN
from tests.pipelines.case import EIGHT, PipelineCase
from tests.pipelines.parts import GUIDED, MODELS, mask, new, run, words

SIZE = {"height": 32, "width": 32, "num_frames": 5}
PROMPTS = {"prompt_embeds": words(1), "negative_prompt_embeds": words(2)}
#: Guidance in one call a step, which the pipelines name.
BATCHED = {"cond_uncond": EIGHT}
ENCODERS = ("vae", "text_encoder", "tokenizer")


def new_wan(second: bool = False) -> Any:
    """Wan 2.1, or 2.2 with its two transformers."""
    from diffusers import UniPCMultistepScheduler

    sampler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    model = tiny("WanTransformer3DModel", **{**WAN, "in_channels": 16, "out_channels": 16})
    other = {"transformer_2": tiny("WanTransformer3DModel", **{**WAN, "in_channels": 16, "out_channels": 16})()}
    parts = {"boundary_ratio": 0.8, **other} if second else {}
    return new("WanPipeline", sampler, ENCODERS, transformer=model(), **parts)


def new_cogvideox() -> Any:
    """CogVideoX, which predicts v."""
    from diffusers import CogVideoXDDIMScheduler

    sampler = CogVideoXDDIMScheduler(prediction_type="v_prediction", timestep_spacing="trailing", snr_shift_scale=3.0)
    model = tiny("CogVideoXTransformer3DModel", **{**COG, "attention_head_dim": 16})
    return new("CogVideoXPipeline", sampler, ENCODERS, transformer=model())


def new_hunyuan_video() -> Any:
    """HunyuanVideo."""
    return new(
        "HunyuanVideoPipeline",
        "FlowMatchEulerDiscreteScheduler",
        (*ENCODERS, "text_encoder_2", "tokenizer_2"),
        transformer=MODELS["hunyuan_video"](),
    )


def new_mochi() -> Any:
    """Mochi, whose timesteps rise."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    model = tiny("MochiTransformer3DModel", **SMALL, pooled_projection_dim=8, text_embed_dim=16, time_embed_dim=8)
    return new("MochiPipeline", FlowMatchEulerDiscreteScheduler(invert_sigmas=True), ENCODERS, transformer=model())


CASES = (
    PipelineCase(
        "hunyuan_video",
        "hunyuan_video",
        new_hunyuan_video,
        lambda pipe: run(
            pipe,
            true_cfg_scale=2.0,
            pooled_prompt_embeds=noise((1, 8), 3),
            negative_pooled_prompt_embeds=noise((1, 8), 4),
            prompt_attention_mask=mask(),
            negative_prompt_attention_mask=mask(),
            **PROMPTS,
            **SIZE,
        ),
        GUIDED,
    ),
    PipelineCase("wan", "wan", new_wan, lambda pipe: run(pipe, **PROMPTS, **SIZE), GUIDED),
    PipelineCase(
        "wan_2.2",
        "wan",
        lambda: new_wan(second=True),
        lambda pipe: run(pipe, guidance_scale_2=3.0, **PROMPTS, **SIZE),
        {
            "cond": "FFFP",
            "uncond": "FFFP",
            "cond (transformer_2)": "FFPP",
            "uncond (transformer_2)": "FFPP",
        },
        {f"{branch} (transformer_2)": [4, 5, 6, 7] for branch in GUIDED},
    ),
    PipelineCase(
        "ltx",
        "ltx",
        lambda: new("LTXPipeline", "FlowMatchEulerDiscreteScheduler", ENCODERS, transformer=MODELS["ltx"]()),
        lambda pipe: run(
            pipe,
            prompt_attention_mask=mask(),
            negative_prompt_attention_mask=mask(),
            **PROMPTS,
            **{**SIZE, "height": 64, "width": 64, "num_frames": 9},
        ),
        BATCHED,
    ),
    PipelineCase(
        "cogvideox",
        "cogvideox",
        new_cogvideox,
        lambda pipe: run(pipe, **PROMPTS, **SIZE),
        BATCHED,
    ),
    PipelineCase(
        "mochi",
        "mochi",
        new_mochi,
        lambda pipe: run(
            pipe,
            prompt_attention_mask=mask(),
            negative_prompt_attention_mask=mask(),
            **PROMPTS,
            **{**SIZE, "num_frames": 7},
        ),
        BATCHED,
    ),
)
