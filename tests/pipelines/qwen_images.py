"""Qwen-Image and its edit and ControlNet pipelines."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from tests.matrix.case import tiny
from tests.pipelines.case import PipelineCase, lively
from tests.pipelines.parts import GUIDED, MODELS, NAMELESS, mask, new, run, words

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


class Processor:
    """What Qwen-Image 2.1 asks of its processor when it is made."""

    tokenizer = SimpleNamespace(encode=lambda text: [len(text)])

    def apply_chat_template(self, *_: object, **__: object) -> list[list[int]]:
        """No words."""
        return [[]]


def qwen_image21() -> Any:
    """Qwen-Image 2.1 without a text encoder."""
    return new(
        "QwenImage21Pipeline",
        "FlowMatchEulerDiscreteScheduler",
        ("vae", "text_encoder"),
        processor=Processor(),
        transformer=MODELS["qwen_image21"](),
    )


def run_qwen_image21(pipe: Any, *, use_kv_cache: bool) -> Tensor:
    """A run with guidance; the prompts have different lengths."""
    return run(
        pipe,
        height=64,
        width=64,
        prompt_embeds=words(1),
        negative_prompt_embeds=words(2, tokens=2),
        true_cfg_scale=4.0,
        use_kv_cache=use_kv_cache,
    )


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
    PipelineCase(
        "qwen_image_2.1",
        "qwen_image21",
        qwen_image21,
        lambda pipe: run_qwen_image21(pipe, use_kv_cache=False),
        GUIDED,
    ),
)
