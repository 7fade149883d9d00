"""Pipelines around FLUX's transformer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.fixtures_flux import new_transformer
from tests.matrix.case import noise
from tests.pipelines import parts
from tests.pipelines.case import EIGHT, PipelineCase, lively

BOTH = {"branch0": EIGHT, "branch1": EIGHT}
#: The second call of a step, where the pipeline calls uncond by name.
EMBEDS = {"prompt_embeds": noise((1, 4, 96), 1), "pooled_prompt_embeds": noise((1, 64), 2)}
NEGATIVE = {"negative_prompt_embeds": noise((1, 4, 96), 3), "negative_pooled_prompt_embeds": noise((1, 64), 4)}
_ENCODERS = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
PICTURE = noise((1, 3, 16, 16), 5).sigmoid()


def new(class_name: str, *, changes: dict[str, Any] | None = None, **given: Any) -> Any:
    """A pipeline of FLUX's family without text encoders."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    vae, transformer = parts.vae(3, 8, shift_factor=0.0), new_transformer(**(changes or {}))
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    return parts.new(class_name, scheduler, _ENCODERS, vae=vae, transformer=transformer, **given)


def run(pipe: Any, **arguments: Any) -> Tensor:
    """Latents of eight steps."""
    return parts.run(pipe, **{"height": 16, "width": 16, **EMBEDS, **arguments})


def controlnet() -> Any:
    """A ControlNet of one block of each kind."""
    from diffusers import FluxControlNetModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return lively(
            FluxControlNetModel(
                in_channels=32,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=8,
                num_attention_heads=2,
                joint_attention_dim=96,
                pooled_projection_dim=64,
                axes_dims_rope=(2, 2, 4),
            )
        )


PICTURES = ("ip_adapter_image_embeds", "negative_ip_adapter_image_embeds")


def with_ip_adapter() -> Any:
    """FLUX with attention to a picture's embedding in its first blocks, as `load_ip_adapter` leaves it."""
    pipe = new("FluxPipeline")
    width, words = 16, 4
    state: dict[str, Any] = {
        "image_proj": {
            "proj.weight": noise((words * 96, 12), 1),
            "proj.bias": noise((words * 96,), 2),
            "norm.weight": torch.ones(96),
            "norm.bias": torch.zeros(96),
        },
        "ip_adapter": {},
    }
    for block in range(3):
        for number, name in enumerate(("to_k_ip", "to_v_ip")):
            state["ip_adapter"][f"{block}.{name}.weight"] = noise((width, 96), 10 + block * 2 + number)
            state["ip_adapter"][f"{block}.{name}.bias"] = noise((width,), 20 + block * 2 + number)
    pipe.transformer._load_ip_adapter_weights([state])
    pipe.set_ip_adapter_scale(1.0)
    return pipe


CASES = (
    PipelineCase("flux", "flux", lambda: new("FluxPipeline"), run, {"cond": EIGHT}),
    PipelineCase(
        "flux_guided",
        "flux",
        lambda: new("FluxPipeline"),
        lambda pipe: run(pipe, true_cfg_scale=3.0, **NEGATIVE),
        {"cond": EIGHT, "uncond": EIGHT},
    ),
    PipelineCase(
        "flux_img2img",
        "flux",
        lambda: new("FluxImg2ImgPipeline"),
        lambda pipe: run(pipe, image=PICTURE, strength=0.5, num_inference_steps=12, true_cfg_scale=3.0, **NEGATIVE),
        {"branch0": "FPFPPF", "branch1": "FPFPPF"},
        {"branch0": list(range(6, 12)), "branch1": list(range(6, 12))},
    ),
    PipelineCase(
        "flux_kontext",
        "flux",
        lambda: new("FluxKontextPipeline"),
        lambda pipe: run(pipe, image=PICTURE, max_area=256, _auto_resize=False, true_cfg_scale=3.0, **NEGATIVE),
        BOTH,
    ),
    PipelineCase(
        "flux_fill",
        "flux",
        lambda: new("FluxFillPipeline", changes={"in_channels": 128, "out_channels": 32, "guidance_embeds": True}),
        lambda pipe: run(pipe, image=PICTURE, mask_image=(PICTURE[:, :1] > 0.5).float()),
    ),
    PipelineCase(
        "flux_controlnet",
        "flux",
        lambda: new("FluxControlNetPipeline", controlnet=controlnet()),
        lambda pipe: run(pipe, control_image=PICTURE),
    ),
    PipelineCase(
        "flux_ip_adapter",
        "flux",
        with_ip_adapter,
        lambda pipe: run(pipe, **{name: [noise((1, 1, 12), 8)] for name in PICTURES}),
        {"cond": EIGHT},
    ),
)
