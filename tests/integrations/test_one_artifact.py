"""One file of weights in every place: diffusers, ComfyUI, SGLang and vLLM-Omni do the same with it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

pytest.importorskip("diffusers", reason="needs diffusers: pip install 'lesa-framework[diffusers]'")

import lesa_framework as lesa
from lesa_framework import ArtifactError, ConfigError, LesaError, Tap
from lesa_framework.artifacts import Artifact, load_artifact, save_artifact
from tests.integrations.doors import DOORS, House, Task
from tests.integrations.weights import KINDS, PLAN, STEPS, put_weights

#: ComfyUI's own classes have the same weights in other matrices (q, k and v in one), so that sums differ in their last
#: bits; so do those of a batch of both branches.
CLOSE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture
def house(world, make_flux, monkeypatch, tmp_path):
    for name in ("LESA_CONFIG", "LESA_SPEEDUP", "LESA_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no weights of whoever runs this
    return House(make_flux, world, monkeypatch)


@pytest.fixture
def put(tmp_path):
    """Writes weights for a task: `put(kind, task, tap)` is the file."""

    def write(kind, task, tap=Tap.PRE_HEAD):
        return put_weights(tmp_path / "one.safetensors", kind, task.sigmas, task.transformer(), tap)

    return write


def _pictures(asked, task, house):
    return {name: door(asked, task, house) for name, door in DOORS.items()}


def _is_exact(name, house, task):
    return name != "ComfyUI" or (house.world.name == "contract" and not task.in_one_call)


def _assert_same(pictures, house, task):
    first = pictures["diffusers"]
    assert first.latent.abs().max() > 1
    for name, picture in pictures.items():
        assert picture.plans == first.plans, name
        close = {"rtol": 0, "atol": 0} if _is_exact(name, house, task) else CLOSE
        torch.testing.assert_close(picture.latent, first.latent, **close, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("tap", [Tap.PRE_HEAD, Tap.OUTPUT])
@pytest.mark.parametrize("kind", KINDS)
def test_one_file_makes_the_same_plan_and_picture_everywhere(house, put, kind, tap):
    task = Task.new(STEPS)
    pictures = _pictures(str(put(kind, task, tap)), task, house)
    _assert_same(pictures, house, task)
    report = pictures["diffusers"].report
    assert {report.plan(branch) for branch in report.branches} == {PLAN}
    assert len(report.branches) == 2
    assert not report.fallbacks


def test_guidance_in_one_batch_is_the_same(house, put):
    task = replace(Task.new(STEPS), in_one_call=True)
    _assert_same(_pictures(str(put("lesa", task)), task, house), house, task)


def test_the_file_its_folder_and_its_repository_are_one(house, put, hub, tmp_path):
    task, door = Task.new(STEPS), DOORS["diffusers"]
    file = put("lesa", task)
    config = lesa.load_config(file)
    lesa.push_to_hub(config, "owner/cache")
    folder = lesa.save_pretrained(config, tmp_path / "folder")
    first = door(str(file), task, house)
    for name in (str(folder), str(folder / "weights.safetensors"), "owner/cache"):
        pictures = _pictures(name, task, house)
        _assert_same(pictures, house, task)
        assert torch.equal(pictures["diffusers"].latent, first.latent)


def test_a_speedup_is_the_same_everywhere(house):
    task = Task.new(STEPS)
    pictures = _pictures(4.0, task, house)
    _assert_same(pictures, house, task)
    assert pictures["diffusers"].report.nfe == 3


def _refusals(asked, task, house):
    said = {}
    for name, door in DOORS.items():
        with pytest.raises(LesaError) as error:
            door(asked, task, house)
        said[name] = error.type, str(error.value)
    return said


def _strip(file):
    artifact = load_artifact(file)
    save_artifact(file, Artifact(artifact.metadata.model_copy(update={"config": {}}), artifact.tensors))


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (lambda file: file.unlink(), ConfigError, "there is no file '{file}'. Look at its path again."),
        (lambda file: file.write_text("text"), ArtifactError, "{file}: damaged or not a safetensors file"),
        (_strip, ConfigError, "{file}: these weights do not say which schedule"),
    ],
    ids=["gone", "text", "without a configuration"],
)
def test_a_file_that_cannot_be_taken_is_one_message_everywhere(house, put, damage, kind, message):
    task = Task.new(STEPS)
    file = put("lesa", task)
    damage(file)
    (said,) = set(_refusals(str(file), task, house).values())
    assert said[0] is kind
    assert message.format(file=file) in said[1]


def test_a_speedup_that_is_none_is_one_message_everywhere(house):
    said = _refusals(0.5, Task.new(STEPS), house)
    names = {
        "diffusers": "speedup",
        "ComfyUI": "speedup",
        "SGLang": "LESA_SPEEDUP",
        "vLLM-Omni": "cache_config.speedup",
    }
    for door, (kind, text) in said.items():
        assert kind is ConfigError
        assert text.replace("'", "").startswith(f"{names.get(door, 'speedup')}: 0.5 is not a number above 1. With 5, ")


def test_another_model_is_refused_by_one_message_everywhere(house, put):
    file, other = put("lesa", Task.new(STEPS)), Task.new(STEPS, num_single_layers=3)
    said = {
        kind: text.replace("is Flux,", "is FluxTransformer2DModel,")
        for kind, text in _refusals(str(file), other, house).values()
    }
    assert said.keys() == {ArtifactError}
    (text,) = said.values()
    assert "with 1+2 blocks, but this model is FluxTransformer2DModel, 16 wide, with 1+3 blocks" in text


def test_another_number_of_steps_is_refused_or_by_a_server_computed_with_one_message(house, put, caplog):
    task = Task.new(STEPS)
    file = put("lesa", task)
    message = "predictor.weights: trained for 12 steps, but the run has 10. Run 12 steps"
    for name, door in DOORS.items():
        caplog.clear()
        if name in ("diffusers", "ComfyUI"):
            with pytest.raises(ArtifactError, match=message):
                door(str(file), task.on(10), house)
        else:
            assert door(str(file), task.on(10), house).report.plan() == "F" * 10
            assert message in caplog.text
