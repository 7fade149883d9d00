"""Pipelines that make pictures, around other transformers than FLUX's."""

from __future__ import annotations

from functools import cache
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from tests.matrix.case import noise, tiny
from tests.matrix.cases import CASES as MATRIX
from tests.pipelines.case import EIGHT, PipelineCase, lively

GUIDED = {"cond": EIGHT, "uncond": EIGHT}
#: Two calls a step that the pipeline does not name.
NAMELESS = {"branch0": EIGHT, "branch1": EIGHT}
#: Kind -> factory of a tiny transformer.
MODELS = {case.kind: case.make_model for case in MATRIX}


def new(class_name: str, scheduler: str, parts: tuple[str, ...], **given: Any) -> Any:
    """A pipeline whose other parts are absent, and a scheduler with its usual settings."""
    import diffusers

    sampler = getattr(diffusers, scheduler)() if isinstance(scheduler, str) else scheduler
    return getattr(diffusers, class_name)(**dict.fromkeys(parts), scheduler=sampler, **given)


def run(pipe: Any, **arguments: Any) -> Tensor:
    """The first output of eight steps."""
    call = {"num_inference_steps": 8, "output_type": "latent", "generator": torch.Generator().manual_seed(0)}
    return torch.as_tensor(pipe(**{**call, **arguments}, return_dict=False)[0])


def words(seed: int, tokens: int = 3, width: int = 16) -> Tensor:
    """The embedding of a prompt."""
    return noise((1, tokens, width), seed)


def mask(tokens: int = 3) -> Tensor:
    """All words count."""
    return torch.ones(1, tokens, dtype=torch.long)


@cache
def vae() -> Any:
    """Latents of half the size, with 4 channels."""
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return lively(
            AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                block_out_channels=(8, 8),
                layers_per_block=1,
                latent_channels=4,
                norm_num_groups=4,
                sample_size=8,
            )
        )


# ------------------------------------------------------------------------------------------------ Qwen-Image
QWEN = {
    "in_channels": 64,
    "out_channels": 16,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 16,
    "axes_dims_rope": (2, 2, 4),
}
QWEN_PROMPTS = {
    "prompt_embeds": words(1),
    "prompt_embeds_mask": mask(),
    "negative_prompt_embeds": words(2, tokens=2),
    "negative_prompt_embeds_mask": mask(2),
}


@cache
def qwen_vae() -> Any:
    """Qwen-Image's VAE with few channels: latents of an eighth of the size, with 16 channels."""
    from diffusers import AutoencoderKLQwenImage

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return lively(AutoencoderKLQwenImage(base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1))


def new_qwen(class_name: str = "QwenImagePipeline", parts: tuple[str, ...] = ("vae",), **given: Any) -> Any:
    """A pipeline of Qwen-Image's family without a text encoder."""
    return new(
        class_name,
        "FlowMatchEulerDiscreteScheduler",
        ("text_encoder", "tokenizer", *parts),
        transformer=tiny("QwenImageTransformer2DModel", **QWEN)(),
        **given,
    )


def edit(pipe: Any) -> Tensor:
    """Edits a picture, which the pipeline would scale to a million pixels."""
    from PIL import Image

    with mock.patch(
        "diffusers.pipelines.qwenimage.pipeline_qwenimage_edit.calculate_dimensions", return_value=(32, 32, 0)
    ):
        return run(pipe, image=Image.new("RGB", (32, 32), "red"), height=32, width=32, **QWEN_PROMPTS)


class Nameless:
    """A Qwen-Image pipeline as forks have it: true guidance, but no cache context."""

    def __init__(self) -> None:
        self.pipe = new_qwen()
        self.transformer, self.scheduler = self.pipe.transformer, self.pipe.scheduler
        self.set_progress_bar_config = self.pipe.set_progress_bar_config

    def __call__(self, **arguments: Any) -> Any:
        from contextlib import nullcontext

        model, own = self.transformer, vars(self.transformer).get("cache_context")
        model.cache_context = lambda name: nullcontext()
        try:
            return self.pipe(**arguments)
        finally:
            if own is None:
                del model.cache_context
            else:
                model.cache_context = own


QWEN_IMAGES = (
    PipelineCase(
        "qwen_image",
        "qwen_image",
        new_qwen,
        lambda pipe: run(pipe, height=32, width=32, **QWEN_PROMPTS),
        GUIDED,
    ),
    PipelineCase(
        "qwen_image_without_context",
        "qwen_image",
        Nameless,
        lambda pipe: run(pipe, height=32, width=32, **QWEN_PROMPTS),
        NAMELESS,
    ),
    PipelineCase(
        "qwen_image_edit",
        "qwen_image",
        lambda: new_qwen("QwenImageEditPipeline", ("processor",), vae=qwen_vae()),
        edit,
        GUIDED,
    ),
)

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
