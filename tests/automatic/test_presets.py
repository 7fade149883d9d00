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


def test_fused_projections_and_a_lora_that_is_off_keep_the_preset(reference_flux):
    from peft import LoraConfig

    model = reference_flux.transformer
    model.fuse_qkv_projections()
    try:
        assert choice(reference_flux, "flux").source == "preset"
        model.unfuse_qkv_projections()
        model.add_adapter(LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))
        with lesa.accelerate(reference_flux, speedup=5) as session:
            for change, source in ((model.disable_lora, "preset"), (model.enable_lora, "no weights")):
                change()
                run(reference_flux, "flux")
                assert session.report.choice.source == source
    finally:
        model.unfuse_qkv_projections()
        reference_flux.unload_lora_weights()
    assert choice(reference_flux, "flux").source == "preset"
