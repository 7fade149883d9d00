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
