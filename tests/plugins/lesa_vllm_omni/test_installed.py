"""The door in the installed vLLM-Omni: its own plugin loader, selector, runner's refresh and FLUX, on a CPU."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fixtures_flux import grid_of, new_transformer
from tests.integrations.scripts import result_of, run_script
from tests.integrations.weights import PLAN, STEPS, put_weights, sampled

SCRIPT = Path(__file__).with_name("installed.py")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("vllm_omni") is None,
        reason="vLLM-Omni is not installed. In an environment of its own: `pip install vllm==0.30.0 vllm-omni==0.30.0 "
        "lesa-framework pytest`, then `python -m pytest tests/plugins/lesa_vllm_omni/test_installed.py`",
    ),
]


def result(cache_config: Any, script: Path = SCRIPT, *folder: Path) -> dict[str, Any]:
    return result_of(run_script(script, json.dumps(cache_config), *folder))


def test_a_speedup():
    found = result({"speedup": 4})
    del found["latents"]
    assert found == {
        "is_theirs": True,
        "backbone": "flux",
        "branches": 2,
        "plans": [["FPPPFPPPFPPP"], ["FPPPFPPPFPPPFPPPFPPP"]],
        "again": True,
        "is_bare": False,
    }


def test_every_step_computed_is_the_bare_model():
    found = result({"config": {"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}})
    assert found["is_bare"]
    assert found["plans"] == [["F" * 12], ["F" * 20]]


def test_weights_that_were_fitted_with_diffusers(flux_folder, tmp_path):
    file = put_weights(tmp_path / "one.safetensors", "fitted", grid_of(STEPS), new_transformer())
    found = result({"config": str(file)}, SCRIPT, flux_folder)
    assert (found["plans"][0], found["again"], found["is_bare"]) == ([PLAN], True, False)
    random = torch.Generator().manual_seed(0)
    shapes = ((5, 96), (64,), (5, 96), (64,), (16, 32))
    *prompts, noise = (torch.randn(1, *shape, generator=random) for shape in shapes)
    expected = sampled(new_transformer(), file, noise, [prompts[:2], prompts[2:]], torch.zeros(16, 3))
    torch.testing.assert_close(torch.tensor(found["latents"]), expected.flatten(), rtol=0, atol=1e-5)


def test_a_wrong_option():
    assert (
        "cache_config.sped: unknown key. Known: config, speedup, weights." in run_script(SCRIPT, '{"sped": 5}').stderr
    )


def test_its_qwen_image_and_wan():
    found = result({}, SCRIPT.with_name("installed_models.py"))
    for kind in ("qwen_image", "wan"):
        assert found[kind]["backbone"] == kind
        assert found[kind]["is_bare"] is True
        assert found[kind]["plans"] == dict.fromkeys(("pre_head", "post_norm", "output"), "FPPPFPPPFPPP")
        assert max(found[kind]["far"].values()) < 0.2
