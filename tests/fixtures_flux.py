"""A real, tiny `FluxPipeline` with random weights; prompts go in and pictures come out, without a download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor

#: Makes a pipeline; the same weights for the same seed.
MakePipeline: TypeAlias = Callable[..., Any]
#: Runs one: (pipeline, seed, **arguments of its call) -> latents.
Generate: TypeAlias = Callable[..., Tensor]

_TRANSFORMER = {
    "in_channels": 32,
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 96,
    "pooled_projection_dim": 64,
    "guidance_embeds": False,
    "axes_dims_rope": (2, 2, 4),
}


def new_transformer(seed: int = 0, **changes: Any) -> Any:
    """A `FluxTransformer2DModel` of a few thousand numbers, none of them zero."""
    from diffusers import FluxTransformer2DModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FluxTransformer2DModel(**{**_TRANSFORMER, **changes}).eval().requires_grad_(False)
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
        # Enough to make steps differ: a random model is nearly constant otherwise.
        model.proj_out.weight.mul_(2.0)
    return model


def grid_of(num_steps: int) -> tuple[float, ...]:
    """The noise levels that a scheduler with FLUX's shift has by itself, the final 0 included."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(num_steps)
    return tuple(scheduler.sigmas.tolist())


def places(rows: int, columns: int) -> Tensor:
    """Where each token of a picture is, (rows * columns, 3), as `FluxPipeline` says it to its transformer."""
    return torch.cartesian_prod(torch.zeros(1), torch.arange(float(rows)), torch.arange(float(columns)))


@pytest.fixture(scope="session")
def _companions() -> dict[str, Any]:
    """What the transformer's pipeline needs besides it: frozen, and shared by all tests."""
    from lesa_reference.codec import PictureCodec
    from lesa_reference.text import clip_tokenizer, new_clip, new_t5, t5_tokenizer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        modules = {"text_encoder": new_clip(), "text_encoder_2": new_t5(), "vae": PictureCodec().new()}
    for module in modules.values():
        module.eval().requires_grad_(False)
    return {**modules, "tokenizer": clip_tokenizer(), "tokenizer_2": t5_tokenizer()}


@pytest.fixture
def make_flux(_companions: dict[str, Any]) -> MakePipeline:
    """Factory of pipelines: `make_flux(seed=0)`."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

    def make(seed: int = 0, **changes: Any) -> Any:
        pipe = FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            transformer=new_transformer(seed, **changes),
            **_companions,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


@pytest.fixture(scope="session")
def flux_folder(tmp_path_factory: pytest.TempPathFactory, _companions: dict[str, Any]) -> Path:
    """A diffusers pipeline folder with random weights."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
    from diffusers.utils import logging

    folder = tmp_path_factory.mktemp("models") / "flux"
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), transformer=new_transformer(), **_companions
    )
    logging.disable_progress_bar()
    pipe.save_pretrained(folder)
    logging.enable_progress_bar()
    return folder


@pytest.fixture
def flux(make_flux: MakePipeline) -> Any:
    """A new tiny `FluxPipeline`."""
    return make_flux()


@pytest.fixture
def generate() -> Generate:
    """`generate(pipe, seed=0, ...)` makes latents from a prompt, guided, in 12 steps unless told otherwise."""

    def run(pipe: Any, seed: int = 0, **arguments: Any) -> Tensor:
        call = {
            "prompt": "a red ring",
            "negative_prompt": "",
            "true_cfg_scale": 3.0,
            "height": 16,
            "width": 16,
            "num_inference_steps": 12,
            "max_sequence_length": 8,
            "output_type": "latent",
            "generator": torch.Generator().manual_seed(seed),
            **arguments,
        }
        latents: Tensor = pipe(**call).images
        return latents

    return run
