"""Pipelines that make pictures, around other transformers than FLUX's."""

from __future__ import annotations

from typing import Any

from tests.matrix.case import noise, tiny
from tests.pipelines.case import PipelineCase
from tests.pipelines.parts import MODELS, NAMELESS, mask, new, run, vae, words
from tests.pipelines.qwen_images import QWEN_IMAGES

# ------------------------------------------------------------------------------------------------ SD3, Z-Image, Flux2
SD3_PARTS = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3")
SD3_PROMPTS = {
    "prompt_embeds": words(1),
    "negative_prompt_embeds": words(2),
    "pooled_prompt_embeds": noise((1, 8), 3),
    "negative_pooled_prompt_embeds": noise((1, 8), 4),
    "height": 32,
    "width": 32,
}


def flow_dpm() -> Any:
    """DPM-Solver++ on a flow-matching grid, with whole numbers for timesteps."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)


def new_sd3(scheduler: str = "FlowMatchEulerDiscreteScheduler") -> Any:
    """Stable Diffusion 3."""
    return new("StableDiffusion3Pipeline", scheduler, SD3_PARTS, transformer=MODELS["sd3"]())


FLOW_MATCHING = (
    PipelineCase("sd3", "sd3", new_sd3, lambda pipe: run(pipe, **SD3_PROMPTS)),
    PipelineCase(
        "sd3_skip_layer_guidance",
        "sd3",
        new_sd3,
        lambda pipe: run(
            pipe,
            skip_guidance_layers=[1],
            skip_layer_guidance_start=0.2,
            skip_layer_guidance_stop=0.8,
            num_inference_steps=10,
            **SD3_PROMPTS,
        ),
        {"branch0": "FFFPPFPPFP", "branch1": "FPFPP"},
        {"branch1": [3, 4, 5, 6, 7]},
    ),
    PipelineCase(
        "sd3_heun",
        "sd3",
        lambda: new_sd3("FlowMatchHeunDiscreteScheduler"),
        lambda pipe: run(pipe, **{**SD3_PROMPTS, "num_inference_steps": 5}),
        {"branch0": "FFFPPFPPF"},
    ),
    PipelineCase(
        "z_image",
        "z_image",
        lambda: new(
            "ZImagePipeline",
            "FlowMatchEulerDiscreteScheduler",
            ("vae", "text_encoder", "tokenizer"),
            transformer=MODELS["z_image"](),
        ),
        lambda pipe: run(
            pipe,
            height=32,
            width=32,
            prompt_embeds=[words(1)[0]],
            negative_prompt_embeds=[words(2)[0]],
            guidance_scale=2.0,
        ),
    ),
)

OTHERS = (
    PipelineCase(
        "chroma",
        "chroma",
        lambda: new(
            "ChromaPipeline",
            "FlowMatchEulerDiscreteScheduler",
            ("vae", "text_encoder", "tokenizer"),
            transformer=MODELS["chroma"](),
        ),
        lambda pipe: run(
            pipe,
            height=32,
            width=32,
            prompt_embeds=words(1),
            prompt_attention_mask=mask().bool(),
            negative_prompt_embeds=words(2),
            negative_prompt_attention_mask=mask().bool(),
        ),
        NAMELESS,
    ),
    PipelineCase(
        "sana_flow_dpm",
        "sana",
        lambda: new(
            "SanaPipeline",
            flow_dpm(),
            ("vae", "text_encoder", "tokenizer"),
            transformer=MODELS["sana"](),
        ),
        lambda pipe: run(
            pipe,
            height=128,
            width=128,
            negative_prompt=None,
            prompt_embeds=words(1),
            prompt_attention_mask=mask(),
            negative_prompt_embeds=words(2),
            negative_prompt_attention_mask=mask(),
            use_resolution_binning=False,
        ),
    ),
)

# ------------------------------------------------------------------------------------------------ noise prediction
PIXART_PROMPTS = {
    "prompt_embeds": words(1),
    "prompt_attention_mask": mask(),
    "negative_prompt": None,
    "negative_prompt_embeds": words(2),
    "negative_prompt_attention_mask": mask(),
    "height": 32,
    "width": 32,
    "use_resolution_binning": False,
}


#: With the thousand classes that the pipeline counts on.
DIT = {
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "in_channels": 4,
    "out_channels": 8,
    "sample_size": 4,
    "norm_num_groups": 2,
    "attention_bias": True,
}


def pixart(name: str, scheduler: str, **expected: Any) -> PipelineCase:
    """PixArt with a sampler."""
    return PipelineCase(
        f"pixart_{name}",
        "pixart",
        lambda: new(
            "PixArtAlphaPipeline", scheduler, ("vae", "text_encoder", "tokenizer"), transformer=MODELS["pixart"]()
        ),
        lambda pipe: run(pipe, **PIXART_PROMPTS),
        **expected,
    )


def dit(name: str, scheduler: str) -> PipelineCase:
    """DiT with a sampler."""
    return PipelineCase(
        f"dit_{name}",
        "dit",
        lambda: new("DiTPipeline", scheduler, (), transformer=tiny("DiTTransformer2DModel", **DIT)(), vae=vae()),
        lambda pipe: run(pipe, class_labels=[1], output_type="np"),
    )


FIFTEEN = {"branch0": "FFFPPFPPFPPFPPF"}
NOISE_PREDICTION = (
    pixart("dpm", "DPMSolverMultistepScheduler"),
    pixart("ddim", "DDIMScheduler"),
    pixart("unipc", "UniPCMultistepScheduler"),
    pixart("heun", "HeunDiscreteScheduler", plans=FIFTEEN),
    pixart("euler", "EulerDiscreteScheduler"),
    dit("ddim", "DDIMScheduler"),
    dit("dpm", "DPMSolverMultistepScheduler"),
)

CASES = (*QWEN_IMAGES, *FLOW_MATCHING, *OTHERS, *NOISE_PREDICTION)
