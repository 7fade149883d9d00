"""The bundled models, ready to be called on pairs that nothing was fitted, searched or chosen on."""

from __future__ import annotations

from typing import Any

import torch

import lesa_framework as lesa
from lesa_framework.pipelines import find_model, load_pipeline


def loaded(preset: str, pairs: int) -> tuple[Any, dict[str, Any]]:
    """The pipeline that a preset was fitted to, and what to call it with: all but the steps and the noise."""
    source = find_model(str(lesa.load_config(preset).training.model))
    assert source.named is not None
    assert source.named.prompts is not None
    return load_pipeline(source, device="cpu"), {"prompt": source.named.prompts(778, pairs), **source.named.call}


def noise(first: int, pairs: int) -> list[torch.Generator]:
    """A generator for each pair; their seeds begin with `first`."""
    return [torch.Generator().manual_seed(first + pair) for pair in range(pairs)]
