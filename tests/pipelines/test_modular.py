"""Modular pipelines of diffusers: blocks that share components, and choose arguments by the forward's signature."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor

import lesa_framework as lesa
from lesa_framework.pipelines import load_pipeline
from tests.pipelines.case import config

#: Blocks -> the bundled model whose parts they are given.
MODELS = {"FluxAutoBlocks": "flux", "QwenImageAutoBlocks": "qwen_image"}


def modular(blocks: str) -> Any:
    """A modular pipeline with a bundled model's components."""
    from diffusers import modular_pipelines

    parts = load_pipeline(f"reference:{MODELS[blocks]}", device="cpu").components
    pipe = getattr(modular_pipelines, blocks)().init_pipeline()
    pipe.update_components(**{name: parts[name] for name in pipe.component_names if parts.get(name) is not None})
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generate(pipe: Any) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    latents: Tensor = pipe(
        prompt="a red ring", num_inference_steps=8, height=64, width=64, generator=generator, output="latents"
    )
    return latents


@pytest.mark.slow
@pytest.mark.parametrize("blocks", MODELS)
def test_modular_pipelines(blocks: str):
    pipe = modular(blocks)
    bare, signature = generate(pipe), inspect.signature(pipe.transformer.forward)
    with lesa.accelerate(pipe, config({"kind": "always"})):
        assert inspect.signature(pipe.transformer.forward) == signature
        assert torch.equal(generate(pipe), bare)
    with lesa.accelerate(pipe, config()) as session:
        generate(pipe)
        assert len(session.report.runs) == 1
        assert {session.report.plan(branch) for branch in session.report.branches} == {"FFFPPFPP"}
    assert torch.equal(generate(pipe), bare)
