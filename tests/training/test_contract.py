"""A fit that breaks its contract is refused before anything is written, and as early as can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch

from lesa_framework import AffinePredictor, ConfigPath, Filter, Fit, PluginContractError, PredictorConfig, Progress
from lesa_framework.config.loading import load_config
from lesa_framework.plugin.manager import plugins
from lesa_framework.training.run import check_has_fit, train

CALL = {"height": 16, "width": 16, "max_sequence_length": 8, "true_cfg_scale": 3.0, "negative_prompt": ""}
RAW = {
    "schedule": {"kind": "fixed_interval", "interval": 3, "warmup": 2},
    "predictor": {"kind": "made_up"},
    "training": {"num_steps": 8},
}


class Newest(AffinePredictor):
    def filter(self, entries, ctx):
        return Filter((1.0,))


class Given(Fit):
    """Hands over what a test says."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.predictor, self._given = Newest(), given
        self.log = given.get("log", [{"loss": 0.5}])

    @property
    def drift_db(self):
        return self._given.get("drift_db")

    def run(self):
        yield Progress("nothing", 1, 1)

    def tensors(self):
        return self._given.get("tensors", {"weights": torch.ones(1)})

    def settings(self):
        return self._given.get("settings", {})


class WithoutWeights(PredictorConfig):
    kind: Literal["made_up"] = "made_up"
    given: ClassVar[dict[str, Any]] = {}

    def build(self):
        return Newest()

    def fit(self, task):
        return Given(self.given)


class WithWeights(WithoutWeights):
    weights: ConfigPath | None = None


def register(monkeypatch: pytest.MonkeyPatch, config: type[PredictorConfig]) -> None:
    monkeypatch.setitem(plugins().registry.predictors._items, "made_up", (config, "tests"))


def test_a_predictor_without_a_place_for_its_weights_is_refused_before_training(monkeypatch):
    register(monkeypatch, WithoutWeights)
    with pytest.raises(PluginContractError, match=r"'made_up' has a fit, but its WithoutWeights has no field for"):
        check_has_fit(load_config(RAW))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"log": [{"loss": torch.ones(1)}]}, r"Given\.log: must be JSON values \(.*Tensor is not JSON"),
        ({"log": None}, r"Given\.log: must be JSON values \(it is NoneType, and not list \| tuple\)"),
        ({"drift_db": torch.ones(())}, r"Given\.drift_db: .*it is Tensor, and not float \| int \| None"),
        ({"settings": {"shape": torch.Size}}, r"Given\.settings\(\): must be JSON values"),
        ({"settings": [1]}, r"Given\.settings\(\): .*it is list, and not dict"),
        ({"tensors": {"weights": [1.0]}}, r"Given\.tensors\(\): returned list under 'weights'; a dict of names"),
        ({"tensors": {1: torch.ones(1)}}, r"Given\.tensors\(\): returned Tensor under 1;"),
        ({"tensors": torch.ones(1)}, r"Given\.tensors\(\): returned a Tensor;"),
    ],
)
def test_a_result_that_cannot_be_written_leaves_no_file(monkeypatch, flux: Any, tmp_path: Path, given, message):
    register(monkeypatch, WithWeights)
    monkeypatch.setattr(WithWeights, "given", given)
    with pytest.raises(PluginContractError, match=message):
        train(load_config(RAW), flux, CALL, ["a star"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_fit_that_keeps_its_contract_leaves_three_files(monkeypatch, flux: Any, tmp_path: Path):
    register(monkeypatch, WithWeights)
    train(load_config(RAW), flux, CALL, ["a star"], tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".yaml", ".json"}
