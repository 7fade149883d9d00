"""What LESA does with weights that are odd, and with grids other than that of its training."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lesa_framework import ArtifactError, ConfigError, LesaWarning, RunInfo, StepContext, Tap, World
from lesa_framework.artifacts import Artifact, save_artifact
from lesa_kan import experts
from lesa_kan.experts import ExpertShape
from lesa_kan.lesa import TrainedLesa, tabulate
from lesa_kan.predictor import LesaPredictorConfig
from lesa_kan.settings import LesaTrainingConfig
from lesa_kan.trainable_lesa import TrainableLesa
from tests.plugins.lesa_kan.test_predictor import SHAPE, SIGMAS, artifact, filled, trainable
from tests.plugins.lesa_kan.test_two_stage import short


def test_the_number_of_features_that_lesa_asks_for_is_the_first_stages() -> None:
    made = trainable()
    for lesa in (made, TrainedLesa(artifact(made))):
        assert [lesa.min_history(stage) for stage in range(3)] == [3, 3, 3]
        assert (lesa.depth, lesa.num_stages, lesa.records) == (5, 3, "all")


def test_numbers_whose_products_are_not_finite_are_refused() -> None:
    whole = artifact(trainable())
    for name in ("taps", "bias"):
        large = {"gains": torch.full_like(whole.tensors["gains"], 1e25), name: whole.tensors[name].abs() + 1e14}
        with pytest.raises(ArtifactError, match="filters made of these numbers would not be finite"):
            TrainedLesa(Artifact(whole.metadata, {**whole.tensors, **large}))


def test_a_range_of_splines_rises() -> None:
    for ends in ((1.0, 1.0), (2.0, 1.0)):
        with pytest.raises(ValueError, match="the range must rise"):
            LesaPredictorConfig(grid_range=ends)
    assert LesaPredictorConfig(grid_range=(0.0, 1.0)).shape_for(4).grid_range == (0.0, 1.0)


def test_the_trainings_own_grid_needs_no_pykan_to_be_tabulated(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = artifact(trainable())
    lesa = TrainedLesa(whole, retabulate=True)
    assert (lesa.trained_for.sigmas, lesa.trained_for.backbone) == (SIGMAS, "flux")
    monkeypatch.setitem(sys.modules, "kan", None)
    lesa.check(RunInfo(SIGMAS, "flux", Tap.PRE_HEAD))
    assert lesa.gains(SIGMAS) == whole.tensors["gains"].tolist()
    with pytest.raises(ConfigError, match="need pykan"):
        lesa.check(RunInfo(tuple(sigma**2 for sigma in SIGMAS), "flux", Tap.PRE_HEAD))


def test_retabulate_without_pykan_is_told_before_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_artifact(tmp_path / "w.safetensors", artifact(trainable()))
    for absent in ("kan", "sympy"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, absent, None)
            LesaPredictorConfig(weights=tmp_path / "w.safetensors").build()
            asked = LesaPredictorConfig(weights=tmp_path / "w.safetensors", retabulate=True)
            with pytest.warns(LesaWarning, match=rf"^predictor\.retabulate: .*not installed: {absent}\)"):
                asked.build().check(RunInfo(SIGMAS, "flux", Tap.PRE_HEAD))


def test_kans_that_are_too_large_on_another_grid_are_refused() -> None:
    whole = artifact(trainable())
    large = {name: tensor * 1e32 for name, tensor in whole.tensors.items() if name.endswith(".1.coef")}
    large |= {"gains": torch.zeros_like(whole.tensors["gains"]), "taps": whole.tensors["taps"] * 1e10}
    lesa = TrainedLesa(Artifact(whole.metadata, {**whole.tensors, **large}), retabulate=True)
    with pytest.raises(ArtifactError, match="filters made of these numbers would not be finite"):
        lesa.check(RunInfo(tuple(sigma**2 for sigma in SIGMAS), "flux", Tap.PRE_HEAD))


def test_a_fit_has_untrained_experts_for_the_tasks_steps_and_seed() -> None:
    config = LesaPredictorConfig(stage_history=(1, 2), hidden=(3,))
    task = SimpleNamespace(
        settings=LesaTrainingConfig(num_steps=4, seed=7), sigmas=(1.0, 0.7, 0.5, 0.2, 0.0), batches=(), world=World()
    )
    fit = config.fit(task)
    assert fit.settings()["num_steps"] == 4
    found = fit.predictor.state_dict()
    for seed, same in ((7, True), (8, False)):
        expected = TrainableLesa(ExpertShape(4, (1, 2), (3,)), seed).state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected) is same


def test_two_trainings_of_one_seed_give_the_same_weights_to_the_last_bit(toy_pipeline: Any) -> None:
    shape, sigmas = ExpertShape(6, (2,), (3,)), torch.linspace(1, 0, 7).tolist()

    def weights(epochs: int) -> dict[str, torch.Tensor]:
        lesa = TrainableLesa(shape, 0)
        list(short(toy_pipeline, lesa, guided_epochs=epochs, closed_loop_epochs=epochs).run())
        return lesa.tensors(sigmas)

    first, second, untrained = weights(1), weights(1), weights(0)
    assert {name: torch.equal(second[name], first[name]) for name in first} == dict.fromkeys(first, True)
    assert not torch.equal(untrained["gains"], first["gains"])


def test_tables_and_trainings_are_the_same_whatever_the_default_device_is(toy_pipeline: Any) -> None:
    whole, other = artifact(trainable()), tuple(sigma**2 for sigma in SIGMAS)
    shape, sigmas = ExpertShape(6, (2,), (3,)), torch.linspace(1, 0, 7).tolist()

    def found(device: str) -> tuple[list[list[list[float]]], dict[str, list[float]]]:
        with torch.device(device):
            table, lesa = tabulate(whole, other), TrainableLesa(shape, 0)
        fit = short(toy_pipeline, lesa, guided_epochs=1, closed_loop_epochs=1)
        with torch.device(device):
            list(fit.run())
            return table, {name: tensor.tolist() for name, tensor in lesa.tensors(sigmas).items()}

    assert found("meta") == found("cpu")


def test_one_network_is_made_for_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    made, whole, other = trainable(), artifact(trainable()), tuple(sigma**2 for sigma in SIGMAS)
    new, seen = experts.new_kan, []
    monkeypatch.setattr(experts, "new_kan", lambda *given: seen.append(given) or new(*given))
    assert tabulate(whole, other) == made.experts.gains(other).tolist()
    assert len(seen) == 1, "to make one takes seconds"


def test_an_artifact_without_kans_serves_the_trainings_grid_alone() -> None:
    small = artifact(trainable(keep_kans=False))
    assert set(small.tensors) == {"gains", "taps", "bias"}
    lesa = TrainedLesa(small, retabulate=True)
    assert lesa.gains(SIGMAS) == small.tensors["gains"].tolist() == artifact(trainable()).tensors["gains"].tolist()
    with pytest.raises(ArtifactError, match="another grid needs the weights of the KANs"):
        lesa.check(RunInfo(tuple(sigma**2 for sigma in SIGMAS), "flux", Tap.PRE_HEAD))


def test_another_grid_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    save_artifact(tmp_path / "w.safetensors", artifact(trainable()))
    other = RunInfo(tuple(sigma**2 for sigma in SIGMAS), "flux", Tap.PRE_HEAD)
    with pytest.raises(ArtifactError, match="another sigma grid"):
        LesaPredictorConfig(weights=tmp_path / "w.safetensors").build().check(other)
    LesaPredictorConfig(weights=tmp_path / "w.safetensors", retabulate=True).build().check(other)


def test_branches_beyond_the_experts_own_share_the_last_ones() -> None:
    made = trainable()
    history, _ = filled(5)
    with torch.no_grad():
        made.prepare(SIGMAS)
        for lesa in (made, TrainedLesa(artifact(made))):
            first, last, beyond = (
                lesa.predict(history, StepContext(7, SIGMAS, branch_index=branch, stage=1, entries=history.entries))
                for branch in (0, 1, 2)
            )
            assert torch.equal(beyond, last)
            assert not torch.equal(first, last)


def test_another_backbone_is_refused_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    save_artifact(tmp_path / "w.safetensors", artifact(trainable()))
    other = RunInfo(SIGMAS, "qwen_image", Tap.PRE_HEAD)
    with pytest.raises(ArtifactError, match=r"trained for backbone .flux., but this model is .qwen_image"):
        LesaPredictorConfig(weights=tmp_path / "w.safetensors").build().check(other)
    with pytest.warns(LesaWarning):
        LesaPredictorConfig(weights=tmp_path / "w.safetensors", strict=False).build().check(other)


def test_an_artifact_has_the_kans_unless_they_are_left_out() -> None:
    assert set(TrainableLesa(SHAPE, 0).tensors(SIGMAS)) == {"gains", *SHAPE.kans(), *SHAPE.tables()}
