"""Searches for a predictor that brings its weights along, and for one that builds on others'."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from lesa_framework import ConfigError, ConfigPath, PredictorConfig, Tap, load_config
from lesa_framework.artifacts import Artifact, ArtifactMetadata, load_artifact, save_artifact
from lesa_framework.plugin.manager import plugins
from lesa_framework.search.budget import Budget
from lesa_framework.search.finished import asked_for, finished, remember
from lesa_framework.search.identity import about
from lesa_framework.search.prompts import divided
from lesa_framework.search.run import Found
from lesa_framework.search.search import Limit
from lesa_framework.search.trial import guide_of
from tests.search.conftest import CALL, PROMPTS, Gain, run

ONCE = Limit(tries=1)


class StoredConfig(PredictorConfig):
    """A gain that others have fitted."""

    kind: Literal["stored"] = "stored"
    weights: ConfigPath | None = None

    def build(self) -> Gain:
        return Gain(float(load_artifact(self.weights, "stored").tensor("gain", (1,))))


@pytest.fixture(autouse=True)
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins().registry.predictors._items, "stored", (StoredConfig, "tests"))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return store(tmp_path / "theirs.safetensors", 0.97)


def store(file: Path, gain: float) -> Path:
    metadata = ArtifactMetadata(
        kind="stored", settings={}, sigmas=(1.0, 0.0), backbone="flux", tap=Tap.PRE_HEAD, config={}, training={}
    )
    save_artifact(file, Artifact(metadata, {"gain": torch.tensor([gain])}))
    return file


def searched(pipe: Any, out: Path, weights: Path) -> Found:
    return run(pipe, out, "stored", limit=ONCE, overrides=(f"predictor.weights={weights}",))


def test_the_folder_holds_the_weights_and_may_be_moved(flux: Any, tmp_path: Path, weights: Path) -> None:
    found = searched(flux, tmp_path / "found", weights)
    assert found.weights == tmp_path / "found" / "mine.safetensors"
    weights.unlink()
    moved = (tmp_path / "found").rename(tmp_path / "moved")
    assert load_config(moved / "mine.yaml").predictor.build().gain == pytest.approx(0.97)


def test_other_weights_are_another_search(flux: Any, tmp_path: Path, weights: Path) -> None:
    out = tmp_path / "found"
    assert not searched(flux, out, weights).earlier
    assert searched(flux, out, weights.rename(tmp_path / "moved.safetensors")).earlier
    store(weights, 0.98)
    with pytest.raises(ConfigError, match="is the record of another search") as refusal:
        searched(flux, out, weights)
    for name in set(re.findall(r"mine\.[\w.]+\w", str(refusal.value))):
        (out / name).unlink()
    assert not searched(flux, out, weights).earlier


def test_weights_that_no_search_has_made_are_not_written_over(flux: Any, tmp_path: Path, weights: Path) -> None:
    mine = store(tmp_path / "mine.safetensors", 0.98)
    before = mine.read_bytes()
    refused = r"mine\.safetensors: is there already, without the record .* or delete mine\.safetensors to start afresh"
    with pytest.raises(ConfigError, match=refused):
        searched(flux, tmp_path, weights)
    assert mine.read_bytes() == before
    shutil.copyfile(weights, mine)
    assert searched(flux, tmp_path, weights).weights == mine


@pytest.mark.parametrize("name", ["mine.safetensors", "mine.checkpoint.safetensors", "mine.json"])
def test_what_a_fit_would_write_over_is_kept(flux: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(ConfigError, match=rf"{re.escape(name)}: is there already"):
        run(flux, tmp_path, "gain", limit=ONCE)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"mine")]


def test_who_asks_whether_a_search_is_finished_is_told_of_fitted_weights_too(flux: Any, tmp_path: Path) -> None:
    run(flux, tmp_path, "gain", limit=ONCE)
    (tmp_path / "mine.search.json").write_text('{"tried": 3}')
    config = load_config({"schedule": {"kind": "always"}, "predictor": {"kind": "gain"}})
    named = r"delete mine\.search\.json and mine\.yaml and mine\.safetensors and mine\.json to start afresh"
    with pytest.raises(ConfigError, match=named):
        finished(config.model_copy(update={"name": "mine"}), tmp_path, "asked", ONCE)


@pytest.mark.parametrize("kind", ["stored", "taylorseer"])
def test_nobody_is_told_to_delete_weights_that_are_not_in_the_way(flux: Any, tmp_path: Path, kind: str) -> None:
    """They are those that the search reads, or the predictor has none."""
    weights = store(tmp_path / "mine.safetensors", 0.97)
    overrides = (f"predictor.weights={weights}",) if kind == "stored" else ()
    run(flux, tmp_path, kind, limit=ONCE, overrides=overrides)
    with pytest.raises(ConfigError, match=r"delete mine\.search\.json and mine\.yaml to start afresh"):
        run(flux, tmp_path, kind, limit=ONCE, overrides=(*overrides, "training.seed=7"))
    for name in ("mine.search.json", "mine.yaml"):
        (tmp_path / name).unlink()
    assert not run(flux, tmp_path, kind, limit=ONCE, overrides=(*overrides, "training.seed=7")).earlier


def test_a_finished_search_notices_other_weights(flux: Any, flux_folder: Path, tmp_path: Path, weights: Path) -> None:
    raw = {"schedule": {"kind": "always"}, "predictor": {"kind": "stored", "weights": str(weights)}}
    config = load_config(raw).model_copy(update={"name": "mine"})

    def asked() -> str | None:
        prompts = divided(PROMPTS, 2, config.training.seed, fits=False)
        return asked_for(config, config, Budget(nfe=3), CALL, prompts, str(flux_folder))

    found = searched(flux, tmp_path / "found", weights)
    remember(found, asked())
    again = finished(config, tmp_path / "found", asked(), ONCE)
    assert again is not None
    assert again.weights == found.weights
    store(weights, 0.98)
    assert finished(config, tmp_path / "found", asked(), ONCE) is None


def test_the_weights_beneath_go_by_what_is_in_them(flux: Any, weights: Path) -> None:
    def fingerprint(base: Path) -> str:
        predictor = {"kind": "lesa", "base": {"kind": "stored", "weights": str(base)}}
        config = load_config({"schedule": {"kind": "always"}, "predictor": predictor})
        guide = guide_of(config, "taylorseer")
        return str(about(config, guide, flux, CALL, divided(PROMPTS, 2, 0, fits=False), 3)["fingerprint"])

    before = fingerprint(weights)
    assert fingerprint(weights.rename(weights.with_name("moved.safetensors"))) == before
    assert fingerprint(store(weights, 0.98)) != before
