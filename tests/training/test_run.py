"""From a configuration to a folder, on a tiny `FluxPipeline`."""

from __future__ import annotations

import platform
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

import lesa_framework as lesa
from lesa_framework import ArtifactError, ConfigError, LesaError, LesaWarning, Progress, load_config
from lesa_framework.artifacts import load_artifact
from lesa_framework.training.checkpoint import load_checkpoint, save_checkpoint
from lesa_framework.training.run import Trained, device_name, train
from tests.pipelines import worded
from tests.pipelines.videos import SIZE

CALL = {"height": 16, "width": 16, "max_sequence_length": 8, "true_cfg_scale": 3.0, "negative_prompt": ""}
RAW = {
    "schedule": {"kind": "fixed_interval", "interval": 3, "warmup": 2},
    "router": {"kind": "thresholds", "boundaries": [0.9, 0.5]},
    "predictor": {"kind": "lesa", "history": 3, "hidden": [4]},
    "training": {"num_steps": 8, "batch": 2, "guided_epochs": 1, "closed_loop_epochs": 2},
}
PROMPTS = ["a red ring", "a blue square", "a star"]
SHORT = ("training.guided_epochs=0", "training.closed_loop_epochs=1")


def run(
    pipe: Any, out: Path, *overrides: str, call: dict[str, Any] = CALL, seen: list[Progress] | None = None
) -> Trained:
    return train(load_config(RAW, overrides), pipe, call, PROMPTS, out, [].append if seen is None else seen.append)


def test_a_folder_to_sample_with(flux: Any, generate: Any, tmp_path: Path) -> None:
    seen: list[Progress] = []
    trained = run(flux, tmp_path, seen=seen)
    assert (seen[-1].done, seen[-1].total) == (6, 6)
    assert trained.drift_db is not None
    assert load_artifact(trained.weights).metadata.training["drift_db"] == trained.drift_db
    with lesa.accelerate(flux, trained.config) as session:
        generate(flux, num_inference_steps=8)
    assert session.report.plan() == "FFFPFPPF"


@pytest.mark.parametrize(
    "overrides",
    [
        ("training.target=feature",),
        ("training.through_model=true",),
        ("backbone.tap=output",),
        ("predictor.branches=2",),
        ("training.guided_epochs=0",),
        ("training.closed_loop_epochs=0",),
    ],
)
def test_every_way_of_training(make_flux: Any, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    pipe = make_flux()
    trained = run(pipe, tmp_path, *overrides)
    assert load_artifact(trained.weights, "lesa").metadata.tap == load_config(RAW, overrides).backbone.tap
    assert all(parameter.grad is None for parameter in pipe.transformer.parameters())


def test_a_finished_training_is_not_repeated(flux: Any, tmp_path: Path) -> None:
    first = load_artifact(run(flux, tmp_path).weights).tensors
    seen: list[Progress] = []
    second = load_artifact(run(flux, tmp_path, seen=seen).weights).tensors
    assert seen == []
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("lost", ["config.safetensors", "config.yaml", "config.json"])
def test_what_is_missing_of_a_finished_training_is_written_again(flux: Any, tmp_path: Path, lost: str) -> None:
    first = run(flux, tmp_path)
    weights = first.weights.read_bytes()
    (tmp_path / lost).write_bytes(b"half")
    (tmp_path / lost).rename(tmp_path / "lost")
    seen: list[Progress] = []
    second = run(flux, tmp_path, seen=seen)
    assert not second.earlier
    assert [step.stage for step in seen] == ["resuming", "record", "record"], "nothing is trained again"
    assert (seen[0].done, seen[0].total) == (6, 6)
    assert second.weights.read_bytes() == weights
    assert run(flux, tmp_path).earlier


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("training.num_steps=3",), "in a run of 3 steps no step would be predicted"),
        (("schedule.kind=always",), "nothing to fit"),
        (("predictor.stage_history=[9,3,3]",), "needs 9 features"),
        (("router.kind=single",), r"router: it has 1 stage\(s\)"),
        (("schedule={kind: steps, compute: [0, 9]}",), "step 9 does not exist"),
        (("schedule={kind: teacache, threshold: 1.0e-06}",), "no step of a batch was predicted"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_writes_nothing(
    flux: Any, tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(flux, tmp_path / "out", *overrides)
    assert not (tmp_path / "out").exists()


def test_a_call_that_the_pipeline_refuses(flux: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="FluxPipeline refuses the call"):
        run(flux, tmp_path / "out", call={**CALL, "max_sequence_length": 100_000})
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_training_is_refused(flux: Any, make_flux: Any, tmp_path: Path) -> None:
    run(flux, tmp_path)
    for pipe, overrides in ((flux, ["training.seed=3"]), (make_flux(seed=1), [])):
        with pytest.raises(ConfigError, match="other settings or prompts, or on another model"):
            run(pipe, tmp_path, *overrides)
    file = tmp_path / "config.checkpoint.safetensors"
    state = load_checkpoint(file)
    (tmp_path / "config.json").unlink()  # otherwise the training is finished, and its checkpoint is not read
    for damage in ({"trainable": {}}, {"epochs": None}, {"optimisers": {"guided": 3, "closed loop": 3}}):
        save_checkpoint(file, {**state, **damage})
        with pytest.raises(ArtifactError, match=r"not the state of this fit \(.*\). Delete it to start afresh"):
            run(flux, tmp_path)
    save_checkpoint(tmp_path / "config.checkpoint.safetensors", {"step": 3})
    with pytest.raises(ConfigError, match="Choose another --out"):
        run(flux, tmp_path)
    (tmp_path / "config.checkpoint.safetensors").write_bytes(b"\x10")
    with pytest.raises(ArtifactError, match="Delete it to start afresh"):
        run(flux, tmp_path)


@pytest.mark.filterwarnings("ignore")  # numpy's and torch's, of numbers that overflow: this is what is provoked
def test_a_training_that_diverges_writes_no_weights(flux: Any, tmp_path: Path) -> None:
    with pytest.raises(LesaError, match="it diverged"):
        run(flux, tmp_path, "training.closed_loop_lr=1.0e+37", "training.lr_schedule=constant")
    assert not (tmp_path / "config.safetensors").exists()


def test_the_artifact_says_what_it_was_fitted_on(flux: Any, make_flux: Any, generate: Any, tmp_path: Path) -> None:
    trained = run(flux, tmp_path, "training.closed_loop_epochs=0")
    metadata = load_artifact(trained.weights).metadata
    assert [str(model) for model in metadata.models] == ["FluxTransformer2DModel, 16 wide, with 1+2 blocks"]
    assert (metadata.latent_shape, metadata.guidance) == ((4, 32), None)
    assert metadata.training["call"] == CALL

    def told(pipe: Any, *overrides: str, **call: Any) -> list[str]:
        with (
            warnings.catch_warnings(record=True) as caught,
            lesa.accelerate(pipe, load_config(trained.config, overrides)) as session,
        ):
            warnings.simplefilter("always")
            for _ in range(3):
                generate(pipe, num_inference_steps=8, **call)
        assert session.report.nfe < 8
        return [str(each.message) for each in caught if each.category is LesaWarning]

    assert told(flux) == []
    (weights,) = told(make_flux(seed=1))
    assert "trained on a FluxTransformer2DModel with other weights" in weights
    (resolution,) = told(flux, height=32)
    assert "trained on model inputs of (4, 32); this run's are (8, 32)" in resolution
    assert told(make_flux(seed=1), "predictor.strict=false", height=32) == []
    for changes in ({"num_layers": 2}, {"num_attention_heads": 1}):
        other = make_flux(**changes)
        with (
            lesa.accelerate(other, trained.config),
            pytest.raises(ArtifactError, match="16 wide, with 1\\+2 blocks, but"),
        ):
            generate(other, num_inference_steps=8)
        (loosened,) = told(other, "predictor.strict=false")
        assert "Compare results with uncached ones" in loosened


def test_other_weights_of_a_second_transformer_are_another_training(tmp_path: Path) -> None:
    pipe = worded.wan()
    run(pipe, tmp_path, *SHORT, call=SIZE)
    assert run(pipe, tmp_path, *SHORT, call=SIZE).earlier
    with torch.no_grad():
        for weight in pipe.transformer_2.parameters():
            weight.add_(1.0)
    with pytest.raises(ConfigError, match="on another model"):
        run(pipe, tmp_path, *SHORT, call=SIZE)


def test_a_pipeline_without_a_first_transformer(tmp_path: Path) -> None:
    pipe = worded.wan()
    pipe.transformer = None
    pipe.register_to_config(boundary_ratio=2.0)  # every step is the second one's
    trained = run(pipe, tmp_path, *SHORT, call=SIZE)
    assert load_artifact(trained.weights).metadata.training["device"] == f"cpu ({platform.machine()})"


def test_the_device_that_is_told_is_the_models() -> None:
    pipe: Any = SimpleNamespace(transformer=torch.nn.Linear(1, 1, device="meta"), scheduler=None)
    assert device_name(pipe) == f"meta ({platform.machine()})"


def test_a_picture_in_the_call_goes_by_its_content(tmp_path: Path) -> None:
    def edited(shade: int) -> Trained:
        given = {"image": Image.new("RGB", (16, 16), (shade, 0, 0)), "max_area": 256, "_auto_resize": False}
        return run(worded.flux_kontext(), tmp_path, *SHORT, call={"height": 16, "width": 16, **given})

    assert "0x" not in load_artifact(edited(5).weights).metadata.training["call"]["image"]
    assert edited(5).earlier
    with pytest.raises(ConfigError, match="other settings"):
        edited(6)
