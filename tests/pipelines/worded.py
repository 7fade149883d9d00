"""Pipelines that take prompts, as commands give them. The words of a prompt are noise, with its length as the seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.matrix.case import noise
from tests.pipelines import flux, qwen_images
from tests.pipelines.parts import MODELS, mask, vae, words
from tests.pipelines.videos import new_wan

_THREE = ("vae", "text_encoder", "tokenizer")


def _embedded(prompts: Sequence[str]) -> Tensor:
    return torch.cat([words(len(prompt)) for prompt in prompts])


def z_image() -> Any:
    """Z-Image, which calls its model with a list of latents. It takes height and width from 32 on."""
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline

    class Worded(ZImagePipeline):
        """Without a text encoder."""

        def _encode_prompt(self, prompt: Sequence[str], **_: object) -> list[Tensor]:
            return list(_embedded(prompt))

    parts = dict.fromkeys(_THREE) | {"vae": vae(shift_factor=0.0)}
    return _silent(Worded(**parts, scheduler=FlowMatchEulerDiscreteScheduler(), transformer=MODELS["z_image"]()))


def flux_kontext() -> Any:
    """FLUX.1 Kontext, whose model is given a picture beside the sample."""
    from diffusers import FluxKontextPipeline

    class Worded(FluxKontextPipeline):
        """Without text encoders."""

        def encode_prompt(self, prompt: Sequence[str], **_: object) -> tuple[Tensor, Tensor, Tensor]:
            embeds = torch.cat([noise((1, 4, 96), len(each)) for each in prompt])
            return embeds, embeds[:, 0, :64], torch.zeros(4, 3)

    return _silent(Worded(**flux.new("FluxKontextPipeline").components))


def lumina2() -> Any:
    """Lumina 2, whose features have rows for the words: three of a prompt, and two where there is none."""
    from diffusers import FlowMatchEulerDiscreteScheduler, Lumina2Pipeline

    class Worded(Lumina2Pipeline):
        """Without a text encoder."""

        def encode_prompt(self, prompt: Sequence[str], *_: object, **__: object) -> tuple[Tensor, ...]:
            embeds, count = _embedded(prompt), len(prompt)
            return embeds, mask().expand(count, -1), -embeds[:, :2], mask(2).expand(count, -1)

    parts = dict.fromkeys(_THREE)
    return _silent(Worded(**parts, scheduler=FlowMatchEulerDiscreteScheduler(), transformer=MODELS["lumina2"]()))


def qwen_image21() -> Any:
    """Qwen-Image 2.1, whose second step has other tokens than the first unless `use_kv_cache` is False."""
    from diffusers import QwenImage21Pipeline

    class Worded(QwenImage21Pipeline):
        """Without a text encoder."""

        def encode_prompt(self, *, prompt: Sequence[str], **_: object) -> tuple[Tensor, None, Tensor]:
            embeds = _embedded(prompt)
            return embeds, None, torch.zeros(embeds.shape[:2], dtype=torch.bool)

    return _silent(Worded(**qwen_images.qwen_image21().components))


def pixart_sigma() -> Any:
    """PixArt-Sigma with its DPM-Solver++; its call reports no steps."""
    from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline

    class Worded(PixArtSigmaPipeline):
        """Without a text encoder."""

        def encode_prompt(self, prompt: Sequence[str], *_: object, **__: object) -> tuple[Tensor, ...]:
            masks = mask().expand(len(prompt), -1)
            return _embedded(prompt), masks, -_embedded(prompt), masks

    parts = dict.fromkeys(_THREE) | {"vae": vae()}
    return _silent(Worded(**parts, scheduler=DPMSolverMultistepScheduler(), transformer=MODELS["pixart"]()))


def wan() -> Any:
    """Wan 2.2, whose two transformers take turns."""
    from diffusers import WanPipeline

    class Worded(WanPipeline):
        """Without a text encoder."""

        def encode_prompt(self, prompt: Sequence[str], *_: object, **__: object) -> tuple[Tensor, Tensor]:
            return _embedded(prompt), -_embedded(prompt)

    return _silent(Worded(**new_wan(second=True).components, boundary_ratio=0.8))


def low_noise_wan() -> Any:
    """Wan 2.2 with nothing but its second transformer, which begins at any noise level here."""
    both = seeing_wan()
    return _silent(type(both)(**both.components | {"transformer": None}, boundary_ratio=1.1))


def seeing_wan() -> Any:
    """Wan 2.2 with something to decode its latents."""
    from diffusers import AutoencoderKLWan

    pipe = wan()
    video = AutoencoderKLWan(3, z_dim=16, dim_mult=[1] * 4, num_res_blocks=1, temperal_downsample=[False, True, True])
    return _silent(type(pipe)(**pipe.components | {"vae": video}, boundary_ratio=0.8))


def _silent(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe
