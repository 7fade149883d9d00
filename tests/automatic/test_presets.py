"""The bundled models get the presets that were made for them."""

from __future__ import annotations

import pytest
import torch

import lesa_framework as lesa
from lesa_framework.pipelines import find_model


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("LESA_WEIGHTS", str(tmp_path))


def run(pipe, backbone, **changes):
    call = {**find_model(f"reference:{backbone}").named.call, "num_inference_steps": 50, "output_type": "latent"}
    return pipe(prompt="a red ring on blue", **{**call, **changes})


def choice(pipe, backbone, speedup=5, **changes):
    with lesa.accelerate(pipe, speedup=speedup) as session:
        run(pipe, backbone, **changes)
        report = session.report
    assert report.nfe == report.choice.nfe
    return report.choice


@pytest.mark.parametrize(("backbone", "speedup"), [("flux", 5), ("qwen_image", 6), ("hunyuan_video", 5)])
def test_a_bundled_model_gets_a_preset_of_its_own(reference, backbone, speedup):
    found = choice(reference(backbone), backbone, speedup)
    assert found.source == "preset"
    assert found.name.startswith(f"ref-{backbone}-")
    assert found.kind in {"fitted", "lesa"}
    assert 8 <= found.nfe <= 10


def test_another_size_or_budget_gets_none(reference_flux):
    assert choice(reference_flux, "flux", height=32, num_inference_steps=50).source == "no weights"
    assert choice(reference_flux, "flux", speedup=2).source == "no weights"


def test_a_fine_tune_gets_none(reference_flux):
    weight = reference_flux.transformer.get_parameter("proj_out.weight")
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.mul_(1.02)
        found = choice(reference_flux, "flux")
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert found.source == "no weights"
    assert "was fitted to other weights of this architecture (a fine-tune or LoRA)" in found.reason
