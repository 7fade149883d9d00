"""What `lesa plugins` says of presets and models."""

from __future__ import annotations

from pathlib import Path

from lesa_framework.cli.listing import describe_model, describe_preset
from lesa_framework.plugin.registry import NamedModel


def test_a_preset_whose_steps_depend_on_data(tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text("schedule: {kind: teacache, threshold: 0.2}\npredictor: {kind: reuse}\n")
    said = str(describe_preset(tmp_path / "gate.yaml"))
    assert said.startswith("any model: reuse, ? of 50 steps (teacache threshold=0.2")


def test_a_preset_that_cannot_be_read_hides_no_other_and_names_no_folder(tmp_path: Path) -> None:
    (tmp_path / "lost.yaml").write_text(
        "schedule: {kind: always}\npredictor: {kind: fitted, weights: no.safetensors}\n"
    )
    said = str(describe_preset(tmp_path / "lost.yaml"))
    assert said.startswith("cannot be read: ")
    assert "no.safetensors" in said
    assert str(tmp_path) not in said


def test_a_model_without_files(tmp_path: Path) -> None:
    assert describe_model(NamedModel(tmp_path)) == "its weights are not there"
