"""Qwen-Image 2.1, whose key-value cache takes the prompt's tokens out of the sequence after the first step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lesa_diffusers.joint import QwenImage21Adapter
from lesa_framework import Reason, Reuse, Strategy, Tap
from lesa_framework.testing import attach, even_grid
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from tests.matrix.case import noise
from tests.matrix.cases_joint import CASES

GRID = even_grid(4)
[CASE] = [case for case in CASES if case.kind == "qwen_image21"]


def call(model: nn.Module, sigma: float, pictures: int, **more: Any) -> Tensor:
    """One call with three words, perhaps a picture to edit among them, and four tokens of the image."""
    return model(
        noise((1, 4 * (pictures + 1), 16), 0),
        noise((1, 3 + pictures, 16), 1),
        torch.tensor([sigma]),
        [[(1, 2, 2)] * (pictures + 1)],
        torch.tensor([[False, *[True] * pictures, False, False, True]]),
        return_dict=False,
        **more,
    )[0]


def sampled(model: nn.Module, pictures: int) -> list[Tensor]:
    """The outputs of a run with the cache, as the pipeline makes it."""
    from diffusers.models.transformers.transformer_qwenimage21 import QwenImage21KVCache

    cache = QwenImage21KVCache(len(model.transformer_blocks))
    return [
        call(model, sigma, pictures, kv_cache=cache, kv_cache_mode="cached" if step else "extract")
        for step, sigma in enumerate(GRID[:-1])
    ]


@pytest.mark.parametrize("tap", list(Tap))
@pytest.mark.parametrize("pictures", [0, 1])
@torch.no_grad()
def test_the_step_after_the_one_that_fills_the_key_value_cache_is_computed(tap: Tap, pictures: int):
    model = CASE.make_model()
    bare = sampled(model, pictures)
    with attach(model, QwenImage21Adapter(), Strategy(ComputeSteps([0]), EqualStages(), Reuse()), GRID, tap) as session:
        cached = sampled(model, pictures)
    assert session.report.plan() == "FFPP"
    assert session.report.fallbacks == {Reason.SHAPE: 1}
    assert [each.shape[1] for each in cached] == [7 + 4 * pictures, 4, 4, 4]
    assert torch.equal(cached[0], bare[0])
    assert torch.equal(cached[1], bare[1])
    assert cached[2].isfinite().all()
    assert not torch.equal(cached[2], bare[2])


@pytest.mark.parametrize("mode", ["extract", "cached", None])
def test_what_is_added_to_the_latent_has_its_shape_again(mode: str | None):
    adapter, given = QwenImage21Adapter(), {"hidden_states": noise((2, 4, 16), 0), "kv_cache_mode": mode}
    assert torch.equal(adapter.as_given(adapter.latent(given), given), given["hidden_states"])
