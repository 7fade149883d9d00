"""What the pipelines of the cases are put together from."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from tests.matrix.case import noise
from tests.matrix.cases import CASES as MATRIX
from tests.pipelines.case import EIGHT, lively

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
def vae(levels: int = 2, latent_channels: int = 4, **given: Any) -> Any:
    """Each level after the first halves the size of the latents."""
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return lively(
            AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * levels,
                up_block_types=("UpDecoderBlock2D",) * levels,
                block_out_channels=(8,) * levels,
                layers_per_block=1,
                latent_channels=latent_channels,
                norm_num_groups=4,
                sample_size=4 * 2 ** (levels - 1),
                **given,
            )
        )


# ------------------------------------------------------------------------------------------------ Qwen-Image
