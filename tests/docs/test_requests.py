"""The requests in threads that docs/explanation/concepts.md shows, run as they stand there."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lesa_framework as lesa
from tests.docs.pages import blocks

(SHOWN,) = (block.text for block in blocks("python") if "def serve(" in block.text and "concepts" in block.page)
CONFIG = (
    "schedule: {kind: fixed_interval, interval: 3, warmup: 2}\n"
    "predictor: {kind: reuse}\n"
    "backbone: {kind: flux, tap: pre_head}\n"
)


@pytest.fixture
def pipe(flux_folder: Path) -> Any:
    """A tiny FLUX of which some parameters have another precision, as Wan's have."""
    from diffusers import FluxPipeline

    pipe = FluxPipeline.from_pretrained(flux_folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.default_sample_size = 8
    pipe.vae.encoder.to(torch.bfloat16)  # a call from text has no use for it
    return pipe


def shown(pipe: Any, folder: Path) -> Callable[[str], Any]:
    """The page's `serve`, with a cache that fits the tiny FLUX; its session stays attached."""
    (folder / "tiny.yaml").write_text(CONFIG)
    names: dict[str, Any] = {"lesa": lesa, "pipe": pipe}
    # The end of its block would detach the session before anything is served.
    text = SHOWN.replace("ref-flux-lesa-n7", str(folder / "tiny.yaml"))
    exec(text.replace("with lesa", "session = lesa", 1).replace(" as session:", "\nif True:", 1), names)
    serve: Callable[[str], Any] = names["serve"]
    return serve


def test_a_request_changes_nothing_of_the_pipeline_that_it_copies(pipe: Any, tmp_path: Path) -> None:
    def held() -> dict[str, torch.dtype]:
        modules = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
        return {f"{name}.{key}": each.dtype for name, part in modules.items() for key, each in part.named_parameters()}

    before, scheduler, config = held(), pipe.scheduler, dict(pipe.config)
    _, report = shown(pipe, tmp_path)("a red ring")
    assert len(report.plan()) == 50
    assert held() == before
    assert len(set(before.values())) == 2
    assert pipe.scheduler is scheduler
    assert dict(pipe.config) == config


def test_a_request_has_tokenizers_of_its_own_because_they_keep_their_padding(pipe: Any, tmp_path: Path) -> None:
    def padding() -> list[Any]:
        return [tokenizer.backend_tokenizer.padding for tokenizer in (pipe.tokenizer, pipe.tokenizer_2)]

    for tokenizer in (pipe.tokenizer, pipe.tokenizer_2):  # that of an earlier call is saved with them
        tokenizer.backend_tokenizer.no_padding()
    serve, before = shown(pipe, tmp_path), padding()
    serve("a red ring")
    assert padding() == before
    pipe("a red ring", num_inference_steps=1, output_type="latent")
    assert padding() != before, "a call keeps it; else this test could not fail"


def test_a_copy_of_the_vae_is_enough_for_those_that_keep_frames_while_they_decode() -> None:
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    own = AutoencoderKLWan(4, z_dim=4, dim_mult=[1] * 4, num_res_blocks=1, temperal_downsample=[False, True, True])
    latents, others = torch.randn(2, 1, 4, 3, 2, 2)

    def decode(latents: Tensor, vae: Any) -> Tensor:
        found: Tensor = vae.decode(latents, return_dict=False)[0]
        return found

    def beside(other: Any) -> Tensor:
        """What comes out while another request decodes between two frames."""
        plain, frames = own.decoder.forward, iter(range(3))

        def frame(*args: Any, **kwargs: Any) -> Tensor:
            made: Tensor = plain(*args, **kwargs)
            if next(frames, None) == 1:
                own.decoder.forward = plain
                decode(others, other)
                own.decoder.forward = frame
            return made

        own.decoder.forward = frame
        try:
            return decode(latents, own)
        finally:
            own.decoder.forward = plain

    with torch.no_grad():
        alone = decode(latents, own)
        assert torch.equal(beside(copy.copy(own)), alone)
        assert not torch.equal(beside(own), alone), "they keep frames; else this test could not fail"
    assert "request.vae = copy.copy(pipe.vae)" in SHOWN
