from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from lesa_framework import ConfigError
from lesa_framework.pipelines import find_model, load_outline, load_pipeline, pipeline_files, quiet
from lesa_framework.plugin.manager import plugins


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    (tmp_path / "model_index.json").write_text(
        '{"_class_name": "FluxPipeline", "transformer": ["diffusers", "Nothing"]}'
    )
    return tmp_path


@pytest.mark.parametrize("name", ["reference:flx", "./nowhere", "/nowhere/at/all", "a b", ""])
def test_unknown_models_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"registered model \(reference:flux"):
        find_model(name)


def test_a_folder_must_be_a_pipeline(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model_index\.json"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("index", ["", "{", "[]", "null", '{"transformer": ["diffusers", "Nothing"]}', "[" * 100_000])
def test_its_index_must_name_a_pipeline(tmp_path: Path, index: str) -> None:
    (tmp_path / "model_index.json").write_text(index)
    with pytest.raises(ConfigError, match=r"its model_index\.json names no pipeline's class"):
        find_model(str(tmp_path))


def test_a_hub_id_is_not_looked_up_before_it_is_loaded() -> None:
    source = find_model("owner/model")
    assert (source.location, source.named) == ("owner/model", None)


def test_a_hub_that_cannot_be_reached_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="'nobody/nothing-here' could not be loaded") as caught:
        load_pipeline("nobody/nothing-here")
    assert "\n" not in str(caught.value)


def test_a_damaged_folder_is_a_clear_error(broken: Path) -> None:
    with pytest.raises(ConfigError, match=r"could not be loaded: .*[^.]\. Check the name"):
        load_pipeline(str(broken))


def test_a_full_device_is_no_damage_of_the_folder(flux_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise error

    error = RuntimeError("DefaultCPUAllocator: no room")
    monkeypatch.setattr("lesa_framework.pipelines.outline", full)
    with pytest.raises(RuntimeError, match="no room") as raised:
        load_outline(find_model(str(flux_folder)), torch.float32)
    assert raised.value is error


def test_the_files_of_a_pipeline_are_those_in_the_folders_that_it_names(broken: Path) -> None:
    weights = broken / "another disk" / "weights.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"one")
    (broken / "transformer").symlink_to(weights.parent, target_is_directory=True)
    before = pipeline_files(broken)
    assert [name for name, *_ in before] == ["model_index.json", "transformer/weights.safetensors"]
    (broken / "results.json").write_text("{}")
    (broken / "results.cells").mkdir()
    assert pipeline_files(broken) == before
    weights.write_bytes(b"three")
    assert pipeline_files(broken) != before


@pytest.mark.parametrize("index", ["{", "[1]", '{"a": ' * 100_000], ids=["cut", "a list", "deep"])
def test_a_damaged_index_names_no_folder(tmp_path: Path, index: str) -> None:
    (tmp_path / "model_index.json").write_text(index)
    assert [name for name, *_ in pipeline_files(tmp_path)] == ["model_index.json"]


def test_missing_diffusers_names_the_extra(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ConfigError, match=r"lesa-framework\[diffusers\]"):
        load_pipeline(str(broken))


def test_a_registered_folder_is_known_by_its_path_too() -> None:
    named = plugins().registry.models.get("reference:flux")
    assert find_model(str(named.folder)).named is named


def test_loading_is_quiet(request: pytest.FixtureRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from diffusers.utils import logging

    pipe = request.getfixturevalue("flux")
    logging.disable_progress_bar()
    pipe.save_pretrained(tmp_path)
    logging.enable_progress_bar()
    capfd.readouterr()
    loaded = load_pipeline(str(tmp_path), device="cpu")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert logging.is_progress_bar_enabled()
    assert next(loaded.transformer.parameters()).dtype == torch.float32
    for mine, theirs in zip(pipe.transformer.parameters(), loaded.transformer.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_others_than_those_named_are_not_quiet() -> None:
    from diffusers.utils import logging as ours
    from transformers.utils import logging as theirs

    before = theirs.get_verbosity()
    with quiet("transformers"):
        assert (ours.is_progress_bar_enabled(), theirs.is_progress_bar_enabled()) == (True, False)
        assert theirs.get_verbosity() == theirs.ERROR
    assert theirs.is_progress_bar_enabled()
    assert theirs.get_verbosity() == before


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr("lesa_framework.pipelines.available_devices", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"cuda:2: not available on this machine. Its GPUs: cuda:0, cuda:1"):
        load_pipeline("reference:flux", device="cuda:2")
