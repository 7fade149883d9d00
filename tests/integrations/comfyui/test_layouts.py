"""What the adapters read from ComfyUI's calls, and write into them."""

from __future__ import annotations

import pytest
import torch

from tests.integrations.comfyui import package


@pytest.fixture
def adapters(world):
    return {kind: make() for kind, make in package.part(world.package, "layouts").ADAPTERS.items()}


@pytest.mark.parametrize(
    ("kind", "shape", "shown"),
    [
        ("comfy_flux", (2, 16, 4, 6), (2, 6, 64)),
        ("comfy_flux", (2, 16, 5, 6), (2, 16, 5, 6)),
        ("comfy_qwen_image", (2, 16, 1, 4, 6), (2, 6, 64)),
        ("comfy_qwen_image", (2, 16, 3, 4, 6), (2, 16, 3, 4, 6)),
        ("comfy_hunyuan_video", (2, 16, 3, 4, 6), (2, 16, 3, 4, 6)),
        ("comfy_wan", (2, 16, 3, 4, 6), (2, 16, 3, 4, 6)),
        ("comfy_wan_vace", (2, 16, 3, 4, 6), (2, 16, 3, 4, 6)),
        ("comfy_lumina", (2, 16, 4, 6), (2, 16, 4, 6)),
    ],
)
def test_a_latent_is_shown_as_diffusers_has_it_and_comes_back(adapters, kind, shape, shown):
    adapter, x = adapters[kind], torch.randn(shape, generator=torch.Generator().manual_seed(0))
    latent = adapter.latent({"x": x})
    assert latent.shape == shown
    assert torch.equal(adapter.as_given(latent, {"x": x}), x)
    assert torch.equal(adapter.as_given(latent[1:], {"x": x}), x[1:]), "of one branch of two"
