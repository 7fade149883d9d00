"""What the file of a LESA on a base holds, and what it is refused for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lesa_fitted.fitted import Fitted
from lesa_fitted.predictor import FittedPredictorConfig
from lesa_framework import ArtifactError, ConfigError, EntryInfo, StepContext, build_strategy, load_config, push_to_hub
from lesa_framework.artifacts import Artifact, load_artifact
from lesa_framework.training.run import Trained, train
from lesa_framework.types import Tap
from lesa_kan.lesa import TrainedLesa
from lesa_kan.predictor import LesaPredictorConfig
from lesa_taylorseer.predictor import TaylorSeerConfig

T, COMPUTED = 8, (0, 3, 6)
CALL = {"height": 16, "width": 16, "max_sequence_length": 8, "true_cfg_scale": 3.0, "negative_prompt": ""}
PROMPTS = ["a red ring", "a blue square", "a star", "a dot"]


def config(base: dict[str, Any], *, computed: tuple[int, ...] = COMPUTED, epochs: int = 0, **keys: Any) -> Any:
    return load_config(
        {
            "schedule": {"kind": "steps", "compute": list(computed)},
            "predictor": {"kind": "lesa", "stage_history": [3], "hidden": [4], "base": base, **keys},
            "backbone": {"kind": "auto", "tap": "output"},
            "training": {"num_steps": T, "batch": 2, "guided_epochs": 0, "closed_loop_epochs": epochs},
        }
    )


@pytest.fixture
def on_a_fit(flux: Any, tmp_path: Path) -> Any:
    """Trains on a fitted base: (epochs, fit on how many prompts, with what settings) -> what was written."""

    def start(epochs: int = 0, count: int = 4, fit: dict[str, Any] | None = None, **keys: Any) -> Trained:
        raw = {
            "schedule": {"kind": "steps", "compute": list(COMPUTED)},
            "predictor": {"kind": "fitted", **(fit or {})},
            "backbone": {"kind": "auto", "tap": "output"},
            "training": {"num_steps": T, "batch": 2},
        }
        fitted = train(load_config(raw), flux, CALL, PROMPTS[:count], tmp_path / f"fit{count}")
        file = tmp_path / "base.safetensors"
        file.write_bytes(fitted.weights.read_bytes())
        on_it = config({"kind": "fitted", "weights": str(file)}, epochs=epochs, **keys)
        return train(on_it, flux, CALL, PROMPTS, tmp_path / "lesa")

    return start


@pytest.mark.parametrize("records", ["all", "computed"])
def test_one_file_holds_all_that_a_trained_lesa_needs(on_a_fit: Any, tmp_path: Path, records: str) -> None:
    trained = on_a_fit(records=records)
    alone = build_strategy(load_config(tmp_path / "fit4" / "config.yaml")).predictor
    for file in (*tmp_path.glob("*.safetensors"), *(tmp_path / "fit4").iterdir()):
        file.unlink()
    lesa = build_strategy(load_config(trained.config)).predictor
    assert isinstance(lesa.base.predictor, Fitted)
    sigmas = load_artifact(trained.weights).metadata.sigmas
    computed = tuple(EntryInfo(step, True) for step in (3, 0))
    every = (EntryInfo(4, False), *(EntryInfo(step, step in COMPUTED) for step in (3, 2, 1, 0)))
    entries = computed if records == "computed" else every
    ctx = StepContext(5, sigmas, "cond", entries=entries)
    weights = [weight for weight in lesa.filter(entries, ctx).weights if weight]
    assert weights == [weight for weight in alone.filter(computed, ctx).weights if weight] != []
    for text in (trained.config.read_text("utf-8"), load_artifact(trained.weights).metadata.model_dump_json()):
        assert str(tmp_path) not in text
    assert "sha256:" in load_artifact(trained.weights).metadata.config["predictor"]["base"]["weights"]
    assert load_config(trained.config).predictor.base.model_dump().get("weights") is None


@pytest.mark.parametrize("named", ["config", "weights"])
def test_it_is_pushed_and_pulled(on_a_fit: Any, hub: Path, named: str) -> None:
    push_to_hub(load_config(getattr(on_a_fit(), named)), "owner/lesa")
    assert isinstance(build_strategy(load_config("owner/lesa")).predictor.base.predictor, Fitted)


def test_a_base_whose_weights_have_other_settings_than_the_defaults_is_loaded(on_a_fit: Any) -> None:
    lesa = build_strategy(load_config(on_a_fit(fit={"history": 2}).config)).predictor
    assert lesa.base.predictor.depth == 2


def test_a_training_on_a_base_that_changed_is_another_training(on_a_fit: Any) -> None:
    first = on_a_fit(epochs=1)
    assert on_a_fit(epochs=1) == Trained(first.weights, first.config, first.log, first.drift_db, earlier=True)
    with pytest.raises(ConfigError, match="belongs to a training with other settings"):
        on_a_fit(epochs=1, count=2)


def test_a_base_of_other_settings_than_the_weights_own_is_refused(on_a_fit: Any) -> None:
    trained = on_a_fit()
    weights = trained.weights
    for keys, message in (
        ({"base": TaylorSeerConfig()}, "predictor.base: asks for a base .*taylorseer.*was trained with .*fitted"),
        ({"base": FittedPredictorConfig(reads="all")}, "predictor.base: asks for a base .*'reads': 'all'.*'own'"),
        ({"base": None}, "predictor.base: asks for a base None, but .*fitted"),
        ({"records": "computed"}, "predictor.records: asks for records computed"),
    ):
        with pytest.raises(ConfigError, match=message):
            LesaPredictorConfig(weights=weights, **keys).build()
    LesaPredictorConfig(weights=weights, base=FittedPredictorConfig(weights=Path("gone"))).build()
    LesaPredictorConfig(weights=weights).build()


def test_a_damaged_base_is_refused_by_name(on_a_fit: Any) -> None:
    whole = load_artifact(on_a_fit().weights)
    without = {name: tensor for name, tensor in whole.tensors.items() if not name.startswith("base.")}
    with pytest.raises(ArtifactError, match=r"predictor.base.weights: not 'fitted' weights.*'weights' is missing"):
        TrainedLesa(Artifact(whole.metadata, without))
    settings = whole.metadata.settings
    for change, message in (
        ({"section": {"kind": "taylorseer"}}, "made on 'taylorseer', but it holds weights of 'fitted'"),
        ({"section": {"kind": "gone"}}, "'gone' is not a registered predictor"),
        ({"depth": 0}, "base.depth: Input should be greater"),
        ({"more": 1}, "base.more"),
    ):
        base = {**settings["base"], **change}
        metadata = whole.metadata.model_copy(update={"settings": {**settings, "base": base}})
        with pytest.raises(ArtifactError, match=message):
            TrainedLesa(Artifact(metadata, whole.tensors))


def test_a_base_of_another_tap_is_refused_before_it_is_trained_on(on_a_fit: Any, flux: Any, tmp_path: Path) -> None:
    on_a_fit()
    other = config({"kind": "fitted", "weights": str(tmp_path / "base.safetensors")}, epochs=1)
    other = other.model_copy(update={"backbone": other.backbone.model_copy(update={"tap": Tap.PRE_HEAD})})
    with pytest.raises(ArtifactError, match="trained at tap 'output', but the run taps 'pre_head'"):
        train(other, flux, CALL, PROMPTS, tmp_path / "other")
