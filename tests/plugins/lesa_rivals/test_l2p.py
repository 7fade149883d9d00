"""L2P's weights against the formula, and in a run."""

from __future__ import annotations

import pytest
import torch

from lesa_framework import ArtifactError, ConfigError, EntryInfo, Published, RunInfo, StepContext, Tap
from lesa_framework.artifacts import Artifact, save_artifact
from lesa_framework.testing import check_predictor, even_grid
from lesa_rivals.l2p import L2P, L2PConfig


def table(steps: int) -> torch.Tensor:
    return torch.randn(steps, steps, generator=torch.Generator().manual_seed(0)).tril()


def published(steps: int = 20) -> Published:
    return Published(str(table(steps).tolist()), "weight.txt", tap=Tap.PRE_HEAD, backbone="testing")


@pytest.fixture
def weights(tmp_path):
    artifact = L2PConfig.read_published(published()).artifact
    save_artifact(tmp_path / "l2p.safetensors", artifact)
    return tmp_path / "l2p.safetensors"


def test_it_keeps_the_contract(weights):
    check_predictor(L2PConfig(weights=weights))


def test_it_weighs_every_earlier_feature():
    matrix, features = table(6), torch.arange(6.0) + 1
    entries = tuple(EntryInfo(step, step == 0) for step in (3, 2, 1, 0))
    weights = L2P(matrix).filter(entries, StepContext(4, even_grid(6), entries=entries)).weights
    found = sum(weight * features[entry.step] for weight, entry in zip(weights, entries, strict=True))
    assert float(found) == pytest.approx(float((matrix[3] * features).sum()), rel=1e-5)


def test_a_run_that_begins_later_gives_the_missing_weights_to_its_oldest_feature():
    entries = (EntryInfo(3, True), EntryInfo(2, True))
    row = table(6)[3].tolist()
    weights = L2P(table(6)).filter(entries, StepContext(4, even_grid(6), entries=entries)).weights
    assert weights == pytest.approx((row[3], row[2] + row[1] + row[0]))


def test_a_table_of_the_release_gets_the_steps_of_its_default():
    imported = L2PConfig.read_published(published(50))
    assert imported.config["schedule"] == {"kind": "steps", "compute": [0, 1, 2, 4, 9, 17, 26, 35, 43]}
    assert imported.artifact.metadata.config["schedule"] == imported.config["schedule"]
    assert imported.note.startswith("the schedule has the 9 steps of the release's default, interval 7; the weights")


def test_another_table_gets_even_steps():
    imported = L2PConfig.read_published(published(49))
    assert imported.config["schedule"] == {"kind": "even", "compute": 9}
    assert imported.note.startswith("the schedule is 9 even steps")


def test_a_weight_beyond_float32_is_refused_before_anything_is_written():
    with pytest.raises(ConfigError, match=r"weight\.txt: a weight is beyond the largest that float32 holds, 3\.4e38"):
        L2PConfig.read_published(Published("[[1e39, 0], [0.1, 0.9]]", "weight.txt", tap=Tap.OUTPUT))


def test_nobody_is_told_to_train_it_because_it_has_no_fit(weights):
    predictor, made_for = L2PConfig(weights=weights).build(), published().backbone
    with pytest.raises(ArtifactError, match=r"trained for 20 steps, but the run has 10\. Run 20 steps\.$"):
        predictor.check(RunInfo(even_grid(10), made_for, Tap.PRE_HEAD))


def test_it_needs_weights():
    with pytest.raises(ConfigError, match=r"`lesa import l2p weight\.txt --out l2p\.yaml` makes them"):
        L2PConfig().build()


def test_weights_that_do_not_fit_their_settings_are_refused(tmp_path):
    artifact = L2PConfig.read_published(published()).artifact
    for name, metadata, tensors in (
        ("steps", artifact.metadata.model_copy(update={"settings": {"num_steps": 7}}), artifact.tensors),
        ("shape", artifact.metadata, {"weights": torch.zeros(3, 3)}),
        ("settings", artifact.metadata.model_copy(update={"settings": {}}), artifact.tensors),
    ):
        path = tmp_path / f"{name}.safetensors"
        save_artifact(path, Artifact(metadata, tensors))
        with pytest.raises(ArtifactError, match="weights"):
            L2PConfig(weights=path).build()
