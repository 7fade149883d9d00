"""Checkpoints of the authors' training against their formulas, and what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from lesa_framework import ConfigError, EntryInfo, Imported, Published, StepContext, Tap
from lesa_kan.lesa import TrainedLesa
from lesa_kan.predictor import LesaPredictorConfig
from tests.plugins.lesa_kan.release import release_predict, release_tensors, save_release

STEPS = 12


def imported(tmp_path: Path, tensors: dict[str, Tensor], **given: Any) -> Imported:
    save_release(tmp_path / "theirs.pt", tensors)
    return LesaPredictorConfig.read_published(
        Published("", "theirs.pt", content=(tmp_path / "theirs.pt").read_bytes(), **given)
    )


def predictor(found: Imported) -> TrainedLesa:
    assert found.artifact is not None
    return TrainedLesa(found.artifact, retabulate=True)


@pytest.mark.parametrize(
    ("branches", "dtype"), [(1, torch.float32), (1, torch.bfloat16), (2, torch.float32)], ids=["flux", "bf16", "qwen"]
)
def test_predictions_equal_the_authors_formula(tmp_path: Path, branches: int, dtype: torch.dtype) -> None:
    tensors = release_tensors(STEPS, branches=branches, dtype=dtype)
    lesa = predictor(imported(tmp_path, tensors))
    assert lesa.trained_for is not None
    random = torch.Generator().manual_seed(1)
    features = [torch.randn(2, 3, generator=random) for _ in range(8)]  # the oldest first
    entries = tuple(EntryInfo(9 - k, computed=False) for k in range(8))
    other = tuple(sigma**2 for sigma in lesa.trained_for.sigmas)
    for sigmas in (lesa.trained_for.sigmas, other):
        for branch, suffix in enumerate([""] if branches == 1 else ["_cond", "_uncond"]):
            for stage in range(3):
                ctx = StepContext(10, sigmas, branch_index=branch, stage=stage, entries=entries)
                found = lesa.filter(entries, ctx)
                newest_first = zip(found.weights, features[::-1], strict=False)
                ours = sum(weight * each.double() for weight, each in newest_first) + found.bias
                theirs = release_predict(tensors, features, sigmas, 10, stage, suffix)
                assert float((ours - theirs).abs().max()) < 1e-6


def test_what_is_imported_is_on_the_cpu_whatever_the_default_is(tmp_path: Path) -> None:
    here = imported(tmp_path, release_tensors(STEPS)).artifact
    published = Published("", "theirs.pt", content=(tmp_path / "theirs.pt").read_bytes())
    with torch.device("meta"):
        there = LesaPredictorConfig.read_published(published).artifact
    assert here is not None
    assert there is not None
    assert all(torch.equal(there.tensors[name], here.tensors[name]) for name in here.tensors)


@pytest.mark.parametrize(
    ("backbone", "branches", "tap", "interval", "boundaries", "model"),
    [
        (None, 1, "pre_head", 7, [0.9, 0.5], "black-forest-labs/FLUX.1-dev"),
        ("flux", 1, "pre_head", 7, [0.9, 0.5], "black-forest-labs/FLUX.1-dev"),
        (None, 2, "post_norm", 10, [0.9, 0.4], "Qwen/Qwen-Image"),
        ("hunyuan_video", 1, "output", 7, [0.9, 0.5], "hunyuanvideo-community/HunyuanVideo"),
    ],
)
def test_the_configuration_is_the_published_one(
    tmp_path: Path, backbone: str | None, branches: int, tap: str, interval: int, boundaries: list[float], model: str
) -> None:
    found = imported(tmp_path, release_tensors(STEPS, branches=branches), backbone=backbone, source="s", licence="MIT")
    assert found.config["schedule"] == {"kind": "fixed_interval", "interval": interval, "warmup": 3}
    assert found.config["router"] == {"kind": "thresholds", "boundaries": boundaries}
    assert found.config["backbone"] == {"kind": backbone or {1: "flux", 2: "qwen_image"}[branches], "tap": tap}
    assert found.config["training"] == {"model": model, "num_steps": STEPS}
    assert found.config["predictor"] == {
        "kind": "lesa", "stage_history": [4, 8, 8], "hidden": [4, 4], "branches": branches, "retabulate": True,
    }  # fmt: skip
    assert found.artifact is not None
    metadata = found.artifact.metadata
    assert (metadata.backbone, metadata.tap) == (found.config["backbone"]["kind"], tap)
    assert {key: metadata.training[key] for key in ("source", "licence")} == {"source": "s", "licence": "MIT"}
    assert bool(found.note) is (backbone is None and branches == 1)
    assert found.note == "" or "the backbone flux, with the tap pre_head" in found.note


def test_what_is_given_is_taken(tmp_path: Path) -> None:
    found = imported(tmp_path, release_tensors(4, 6, (3,)), tap=Tap.OUTPUT, shift=1.0, model="./mine")
    assert found.artifact is not None
    assert found.artifact.metadata.sigmas == (1.0, 0.75, 0.5, 0.25, 0.0)
    assert found.config["backbone"]["tap"] == "output"
    assert found.config["training"]["model"] == "./mine"
    assert found.config["predictor"]["stage_history"] == [3, 6, 6]
    assert found.config["predictor"]["hidden"] == [3]


@pytest.mark.parametrize(
    ("backbone", "scheduler", "tokens"),
    [
        ("flux", {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}, (4096, 256, 4096)),
        (
            "qwen_image",
            {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 0.9, "shift_terminal": 0.02},
            (83 * 83, 256, 8192),
        ),
        ("hunyuan_video", {"shift": 7.0}, None),
    ],
)
def test_the_grid_is_that_of_the_models_own_scheduler(
    tmp_path: Path, backbone: str, scheduler: dict[str, Any], tokens: tuple[int, int, int] | None
) -> None:
    made = FlowMatchEulerDiscreteScheduler(**scheduler)
    mu = None
    if tokens is not None:
        used, least, most = tokens
        low, high = scheduler["base_shift"], scheduler["max_shift"]
        mu = low + (high - low) * (used - least) / (most - least)
    made.set_timesteps(sigmas=np.linspace(1, 1 / STEPS, STEPS), mu=mu)
    found = imported(tmp_path, release_tensors(STEPS, branches=1 + (backbone == "qwen_image")), backbone=backbone)
    assert found.artifact is not None
    assert found.artifact.metadata.sigmas == pytest.approx(made.sigmas.tolist(), abs=1e-4)


def test_names_of_wrapped_models_are_understood(tmp_path: Path) -> None:
    plain = release_tensors(STEPS)
    wrapped = {f"module._orig_mod.{name}": tensor for name, tensor in plain.items()}
    found, expected = (imported(tmp_path, each).artifact for each in (wrapped, plain))
    assert found is not None
    assert expected is not None
    assert found.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(found.tensors[name], expected.tensors[name]) for name in expected.tensors)


def without(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("tensors", "given", "message"),
    [
        (without(release_tensors(4), "latent.2.weight"), {}, r"'latent\.2\.weight' is missing"),
        (without(release_tensors(4), "timestep.1.layers.2.grid"), {}, r"'timestep\.1\.layers\.2\.grid' is missing"),
        (release_tensors(4) | {"latent.3.weight": torch.ones(1, 8)}, {}, r"has 'latent\.3\.weight' too"),
        (release_tensors(4) | {"latent.0.bias": torch.ones(2)}, {}, r"'latent\.0\.bias' is \(2,\).*need \(1,\)"),
        (release_tensors(4) | {"latent.0.weight": torch.ones(4)}, {}, r"'latent\.0\.weight' is \(4,\); expected 2 dim"),
        (release_tensors(4) | {"timestep.2.layers.1.base_weight": torch.ones(9, 4)}, {}, r"is \(9, 4\).*need \(4, 4\)"),
        (release_tensors(4) | {"timestep.0.layers.0.grid": torch.ones(5, 5)}, {}, "5 knots for 8 coefficients"),
        (release_tensors(4, 130), {}, "weighs 130 features.*at most 64 features"),
        (release_tensors(4, hidden=(5000,)), {}, r"hidden layers of \[5000\].*16 layers of 4096"),
        (release_tensors(4, branches=2), {"backbone": "flux"}, "a set of experts for each of two branches, but.*flux"),
        (release_tensors(4), {"backbone": "qwen_image"}, "one set of experts, but the authors' weights for qwen_image"),
        (release_tensors(4), {"backbone": "wan"}, "--backbone wan: LESA's authors have weights for flux, qwen_image"),
        ({"blocks.0.weight": torch.ones(2)}, {}, r"'latent\.0\.weight' is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit(tmp_path: Path, tensors: dict[str, Tensor], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        imported(tmp_path, tensors, **given)
