"""Adapters whose noise level is more than a thousandth of the timestep."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lesa_diffusers.plugin import ADAPTERS, lesa_register


@pytest.mark.parametrize(
    ("kind", "timestep", "level"),
    [
        ("glm_image", 999.0, 1.0),
        ("glm_image", 0.0, 0.001),
        ("lumina2", 0.25, 0.75),
        ("wan", 250.0, 0.25),
        ("flux", 0.25, 0.25),
    ],
)
def test_the_noise_level_of_a_timestep(kind, timestep, level):
    adapter = ADAPTERS[kind]()
    assert adapter.noise_level({"timestep": timestep}) == pytest.approx(level)
    assert float(adapter.noise_level({"timestep": torch.tensor([timestep])})) == pytest.approx(level)


def test_sana_that_was_distilled_with_guidance_counts_to_1():
    sana = ADAPTERS["sana"]()
    assert sana.noise_level({"timestep": 500.0}) == pytest.approx(0.5)
    assert sana.noise_level({"timestep": 500.0, "guidance": None}) == pytest.approx(0.5)
    assert sana.noise_level({"timestep": 0.5, "guidance": torch.tensor([4.5])}) == 0.5


def test_sana_counts_as_its_configuration_says():
    sana, model = ADAPTERS["sana"](), SimpleNamespace(config=SimpleNamespace(timestep_scale=0.001))
    assert sana.noise_level({"timestep": 0.5, "self": model}) == pytest.approx(0.5)
    assert sana.shifted({"timestep": 0.5, "self": model}, 0.1) == pytest.approx(0.6)
    assert sana.shifted({"timestep": 500.0}, 0.1) == pytest.approx(600)


def test_latte_refuses_calls_without_its_blocks_over_time():
    latte, model = ADAPTERS["latte"](), torch.nn.Identity()
    assert latte.refuse(model, {}) is None
    assert latte.refuse(model, {"enable_temporal_attentions": True}) is None
    assert "enable_temporal_attentions" in latte.refuse(model, {"enable_temporal_attentions": False})


def test_z_image_refuses_its_omni_mode_alone():
    adapter, latent = ADAPTERS["z_image"](), torch.zeros(1)
    assert adapter.refuse(torch.nn.Identity(), {"x": [latent]}) is None
    assert adapter.refuse(torch.nn.Identity(), {"x": []}) is None
    assert "lists of lists in `x`" in adapter.refuse(torch.nn.Identity(), {"x": [[latent], [latent]]})


def test_every_adapter_is_registered():
    found = {}
    registrar = SimpleNamespace(add_backbone=found.__setitem__)
    lesa_register(registrar)
    assert found == dict(ADAPTERS)


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
@pytest.mark.parametrize("guidance", [None, torch.tensor([4.5])])
def test_a_shifted_timestep_is_at_the_shifted_noise_level(kind, guidance):
    adapter = ADAPTERS[kind]()
    given = {adapter.timestep_argument: torch.tensor([0.5]), "guidance": guidance}
    moved = adapter.shifted(given, -0.125)
    expected = float(adapter.noise_level(given)) - 0.125
    assert float(adapter.noise_level({**given, adapter.timestep_argument: moved})) == pytest.approx(expected, abs=1e-4)
