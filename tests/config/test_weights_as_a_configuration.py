"""A file of weights is a configuration: the one that it was trained with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lesa_framework import ConfigError, Tap, load_config
from lesa_framework.artifacts import Artifact, load_artifact, save_artifact
from lesa_framework.plugin.manager import plugins


def preset() -> Path:
    return plugins().registry.presets.get("ref-flux-fitted-nfe10")


def test_weights_hold_the_configuration_that_they_were_trained_with(tmp_path):
    weights = shutil.copy(preset().with_suffix(".safetensors"), tmp_path)
    config, named = load_config(weights), load_config(preset())
    assert (config.schedule, config.router, config.name) == (named.schedule, named.router, named.name)
    assert config.predictor == named.predictor.model_copy(update={"weights": Path(weights)})
    assert load_config(weights, ["backbone.tap=post_norm"]).backbone.tap is Tap.POST_NORM


def test_weights_that_hold_none(tmp_path):
    artifact = load_artifact(preset().with_suffix(".safetensors"))
    bare = Artifact(artifact.metadata.model_copy(update={"config": {}}), artifact.tensors)
    save_artifact(tmp_path / "bare.safetensors", bare)
    with pytest.raises(ConfigError, match="do not say which schedule and predictor they are for"):
        load_config(tmp_path / "bare.safetensors")


def test_a_link_to_weights_is_a_configuration_by_the_link_s_name(tmp_path):
    (tmp_path / "runs").mkdir()
    shutil.copy(preset().with_suffix(".safetensors"), tmp_path / "runs" / "mine.safetensors")
    link = tmp_path / "best.safetensors"
    link.symlink_to("runs/mine.safetensors")
    config = load_config(link)
    assert (config.name, config.predictor.weights) == ("best", link)
    config.predictor.build()


@pytest.mark.parametrize("named", ["", "config.yaml", "weights.safetensors"])
def test_the_hub_s_cache_links_to_files_of_other_names(tmp_path, named):
    (tmp_path / "blobs").mkdir()
    folder = tmp_path / "snapshots" / "x"
    folder.mkdir(parents=True)
    text = preset().read_text().replace(preset().with_suffix(".safetensors").name, "weights.safetensors")
    (tmp_path / "blobs" / "1a").write_text(text)
    shutil.copy(preset().with_suffix(".safetensors"), tmp_path / "blobs" / "2b")
    (folder / "config.yaml").symlink_to("../../blobs/1a")
    (folder / "weights.safetensors").symlink_to("../../blobs/2b")
    config = load_config(folder / named)
    assert config.predictor.weights == folder / "weights.safetensors"
    config.predictor.build()
