"""The door in the installed SGLang: its own plugin loader, loop and classes, on a CPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from lesa_sglang import door
from tests.fixtures_flux import grid_of, new_transformer, places
from tests.integrations.scripts import result_of, run_script
from tests.integrations.weights import PLAN, STEPS, put_weights, sampled

SCRIPT = Path(__file__).with_name("installed.py")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("sglang") is None,
        reason="SGLang is not installed. In an environment of its own: `pip install 'sglang[diffusion]==0.5.23' "
        "'lesa-framework[diffusers]' pytest`, then `python -m pytest tests/plugins/lesa_sglang/test_installed.py`",
    ),
]


def run(*arguments: object, script: Path = SCRIPT, **variables: str) -> dict[str, Any]:
    return result_of(run_script(script, *arguments, **variables))


def test_a_speedup(flux_folder):
    found = run(flux_folder, LESA_SPEEDUP="4")
    found["native"].pop("latents")
    methods = [f"{door.STAGE}.{name}" for name in ("__init__", "_prepare_denoising_loop", "_run_denoising_loop")]
    assert found["hooks"] == sorted([door.QWEN_HEAD, door.PIPELINE, *methods])
    assert found["native"] == {
        "backbone": "flux",
        "twelve": "FPPPFPPPFPPP",
        "twenty": "FPPPFPPPFPPPFPPPFPPP",
        "again": True,
        "is_bare": False,
    }
    assert found["diffusers"] == {"session": True, "computed": 3}


def test_every_step_computed_is_the_bare_model(flux_folder, tmp_path):
    (tmp_path / "always.yaml").write_text("schedule: {kind: always}\npredictor: {kind: reuse}\n")
    found = run(flux_folder, LESA_CONFIG=str(tmp_path / "always.yaml"))
    assert found["native"]["is_bare"] is True
    assert found["diffusers"] == {"session": True, "computed": 12}


def test_weights_that_were_fitted_with_diffusers(flux_folder, tmp_path):
    file = put_weights(tmp_path / "one.safetensors", "fitted", grid_of(STEPS), new_transformer())
    found = run(flux_folder, LESA_CONFIG=str(file))
    assert (found["native"]["twelve"], found["native"]["again"]) == (PLAN, True)
    assert found["diffusers"] == {"session": True, "computed": PLAN.count("F")}
    random = torch.Generator().manual_seed(0)
    noise, *prompt = (torch.randn(1, *shape, generator=random) for shape in ((16, 32), (5, 96), (64,)))
    expected = sampled(new_transformer(), file, noise, [prompt], places(4, 4))
    torch.testing.assert_close(torch.tensor(found["native"]["latents"]), expected.flatten(), rtol=0, atol=1e-5)


def test_its_qwen_image_and_wan():
    found = run(script=SCRIPT.with_name("installed_models.py"), LESA_SPEEDUP="4")
    for kind in ("qwen_image", "wan"):
        assert found[kind]["backbone"] == kind
        assert found[kind]["is_bare"] is True
        assert found[kind]["plans"] == dict.fromkeys(("pre_head", "post_norm", "output"), "FPPPFPPPFPPP")
        assert max(found[kind]["far"].values()) < 0.1
