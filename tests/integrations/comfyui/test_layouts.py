"""What the adapters read from ComfyUI's calls, and write into them."""

from __future__ import annotations

import pytest
import torch

import lesa_framework as lesa
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


@pytest.mark.parametrize("kind", ["flux", "qwen_image", "hunyuan_video", "wan", "lumina"])
def test_a_noise_level_is_read_and_moved_in_the_units_of_the_model(world, kind):
    patcher, seen = world.model(kind), []
    model = patcher.model.diffusion_model
    adapter = lesa.find_adapter(model).adapter
    model.register_forward_pre_hook(lambda _, given: seen.append({adapter.timestep_argument: given[1]}))
    sigmas = world.sigmas(patcher, 4)
    world.sample(patcher, world.noise(kind), sigmas, guidance=1.0)
    levels = torch.cat([adapter.noise_level(call) for call in seen])
    torch.testing.assert_close(levels, sigmas[:-1])
    moved = torch.cat([adapter.noise_level({adapter.timestep_argument: adapter.shifted(call, -0.01)}) for call in seen])
    torch.testing.assert_close(moved, sigmas[:-1] - 0.01)


def test_vace_counts_as_its_base(adapters):
    assert adapters["comfy_wan_vace"].timestep_scale == adapters["comfy_wan"].timestep_scale


@pytest.mark.parametrize(
    ("kind", "told"), [("comfy_flux", 6.0), ("comfy_qwen_image", 6.0), ("comfy_hunyuan_video", 6000.0)]
)
def test_guidance_is_told_as_diffusers_class_is_given_it(adapters, kind, told):
    assert adapters[kind].guidance({"guidance": torch.tensor([6.0])}) == told
    assert adapters[kind].guidance({"guidance": None}) is None
