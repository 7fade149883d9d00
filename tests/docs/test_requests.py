"""The requests in threads that docs/explanation/concepts.md shows, run as they stand there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

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

    serve, before = shown(pipe, tmp_path), padding()
    serve("a red ring")
    assert padding() == before
    pipe("a red ring", num_inference_steps=1, output_type="latent")
    assert padding() != before, "a call keeps it; else this test could not fail"
