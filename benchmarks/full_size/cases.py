"""The models at their real configuration, shapes and sigma grids, and tiny ones for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.full_size.inputs import MakeArguments, flux_arguments, hunyuan_arguments, qwen_arguments
from lesa_framework import Tap


@dataclass(frozen=True)
class Case:
    """One model and what it is called with.

    Attributes:
        name: Its name on the command line.
        title: Its name in tables.
        model_class: Class in diffusers.
        config: Its arguments.
        latent: Shape of the latent as the model takes it, batch first.
        text_tokens: Tokens of the prompt for each branch; two branches are guidance with two calls a step.
        arguments: Makes a branch's further arguments.
        guidance: The guidance scale of the published examples.
        timestep_divisor: Models told the noise level itself get the timestep divided by 1000.
        latent_in_float32: The pipeline starts from float32 noise.
        scheduler: The published scheduler's settings.
        tap: Where the LESA authors take the feature.
        boundaries: Noise levels between LESA's stages.
        intervals: The paper's N; the first is the headline.
        num_steps: Steps of the sampler.
    """

    name: str
    title: str
    model_class: str
    config: Mapping[str, Any]
    latent: tuple[int, ...]
    text_tokens: tuple[int, ...]
    arguments: MakeArguments
    guidance: float
    timestep_divisor: float
    scheduler: Mapping[str, Any]
    tap: Tap
    intervals: tuple[int, ...]
    boundaries: tuple[float, ...] = (0.9, 0.5)
    latent_in_float32: bool = False
    num_steps: int = 50

    @property
    def mu(self) -> float | None:
        """The shift of the grid that the pipelines work out from the number of image tokens; None when it is fixed."""
        settings = self.scheduler
        if not settings.get("use_dynamic_shifting"):
            return None
        tokens, least, most = self.latent[1], settings["base_image_seq_len"], settings["max_image_seq_len"]
        slope = (settings["max_shift"] - settings["base_shift"]) / (most - least)
        return float(settings["base_shift"] + slope * (tokens - least))


def paper_steps(interval: int, num_steps: int) -> tuple[int, ...]:
    """The steps that LESA computes at interval N: three to warm up, step 3, then every N-th (METHOD, section 2.2)."""
    return tuple(step for step in range(num_steps) if step <= 3 or (step - 2) % interval == 0)


FLUX_CONFIG = {
    "patch_size": 1,
    "in_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}
QWEN_IMAGE_CONFIG = {
    "patch_size": 2,
    "in_channels": 64,
    "out_channels": 16,
    "num_layers": 60,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 3584,
    "guidance_embeds": False,
    "axes_dims_rope": (16, 56, 56),
}
HUNYUAN_VIDEO_CONFIG = {
    "in_channels": 16,
    "out_channels": 16,
    "num_attention_heads": 24,
    "attention_head_dim": 128,
    "num_layers": 20,
    "num_single_layers": 40,
    "num_refiner_layers": 2,
    "mlp_ratio": 4.0,
    "patch_size": 2,
    "patch_size_t": 1,
    "qk_norm": "rms_norm",
    "guidance_embeds": True,
    "text_embed_dim": 4096,
    "pooled_projection_dim": 768,
    "rope_theta": 256.0,
    "rope_axes_dim": (16, 56, 56),
}
_FLOW = {"num_train_timesteps": 1000}

#: 1024x1024: 64x64 tokens of 2x2 latents of 8x8 pixels.
FLUX = Case(
    name="flux",
    title="FLUX.1-dev, 1024x1024",
    model_class="FluxTransformer2DModel",
    config=FLUX_CONFIG,
    latent=(1, 64 * 64, 64),
    text_tokens=(512,),
    arguments=flux_arguments,
    guidance=3.5,
    timestep_divisor=1000.0,
    scheduler=_FLOW
    | {
        "shift": 3.0,
        "use_dynamic_shifting": True,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
    },
    tap=Tap.PRE_HEAD,
    intervals=(7, 5, 10),
)

#: 1328x1328: 83x83 tokens; a prompt of 64 tokens and an empty one, which the template makes 8 long.
QWEN_IMAGE = Case(
    name="qwen_image",
    title="Qwen-Image, 1328x1328, guidance in two calls",
    model_class="QwenImageTransformer2DModel",
    config=QWEN_IMAGE_CONFIG,
    latent=(1, 83 * 83, 64),
    text_tokens=(64, 8),
    arguments=qwen_arguments,
    guidance=4.0,
    timestep_divisor=1000.0,
    scheduler=_FLOW
    | {
        "shift": 1.0,
        "shift_terminal": 0.02,
        "use_dynamic_shifting": True,
        "base_shift": 0.5,
        "max_shift": 0.9,
        "base_image_seq_len": 256,
        "max_image_seq_len": 8192,
    },
    tap=Tap.POST_NORM,
    intervals=(10,),
    boundaries=(0.9, 0.4),
)

#: 65 frames of 480x640: 17 latent frames of 60x80, 20400 tokens.
HUNYUAN_VIDEO = Case(
    name="hunyuan_video",
    title="HunyuanVideo, 480x640, 65 frames",
    model_class="HunyuanVideoTransformer3DModel",
    config=HUNYUAN_VIDEO_CONFIG,
    latent=(1, 16, 17, 60, 80),
    text_tokens=(256,),
    arguments=hunyuan_arguments,
    guidance=6.0,
    timestep_divisor=1.0,
    scheduler=_FLOW | {"shift": 7.0},
    tap=Tap.OUTPUT,
    intervals=(7,),
    latent_in_float32=True,
)

#: Arguments of the models that are numbers of blocks.
LAYERS = ("num_layers", "num_single_layers", "num_refiner_layers")

CASES = {case.name: case for case in (FLUX, QWEN_IMAGE, HUNYUAN_VIDEO)}

_NARROW = {"attention_head_dim": 16, "num_attention_heads": 2}
_TINY: dict[str, dict[str, Any]] = {
    "flux": {
        "config": FLUX_CONFIG
        | _NARROW
        | {"num_layers": 2, "num_single_layers": 2, "joint_attention_dim": 32, "pooled_projection_dim": 16}
        | {"axes_dims_rope": (4, 6, 6)},
        "latent": (1, 16, 64),
        "text_tokens": (8,),
    },
    "qwen_image": {
        "config": QWEN_IMAGE_CONFIG
        | _NARROW
        | {"num_layers": 3, "joint_attention_dim": 32, "axes_dims_rope": (4, 6, 6)},
        "latent": (1, 25, 64),
        "text_tokens": (8, 4),
    },
    "hunyuan_video": {
        "config": HUNYUAN_VIDEO_CONFIG
        | _NARROW
        | {"num_layers": 2, "num_single_layers": 2, "num_refiner_layers": 1}
        | {"text_embed_dim": 32, "pooled_projection_dim": 16, "rope_axes_dim": (4, 6, 6)},
        "latent": (1, 16, 3, 4, 6),
        "text_tokens": (8,),
    },
}


def narrow(case: Case) -> Case:
    """The same model at its depth, shapes and grid, but 32 channels wide: a run takes a small part of the time."""
    widths = {name: value for name, value in _TINY[case.name]["config"].items() if name not in LAYERS}
    return replace(case, config={**case.config, **widths})


def tiny(case: Case) -> Case:
    """The same model, two blocks of each kind and 32 channels wide, 20 steps: runs on a CPU in milliseconds."""
    return replace(case, title=f"{case.title} (tiny)", num_steps=20, **_TINY[case.name])
