"""`lesa plan --model`: the memory of a run, without reading a weight."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import SMALL, Lesa


@pytest.fixture
def bare(model: Path, tmp_path: Path) -> Path:
    """The pipeline's folder without any weights."""
    return shutil.copytree(model, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))


def test_bytes_for_a_size_a_batch_and_a_precision(lesa: Lesa, cache: Path, bare: Path) -> None:
    call = ("plan", "--config", "mine.yaml", "--steps", "8", "--model", bare, *SMALL, "--batch", "2")
    told = json.loads(lesa(*call, "--dtype", "float32", "--json").out)
    cond = told["memory"]["features"]["cond"]
    assert told["memory"]["features"].keys() == {"cond", "uncond"}
    assert (cond["dtype"], cond["kept"], cond["shape"][0]) == ("float32", 2, 2)
    assert cond["bytes"] == 2 * 4 * cond["shape"][0] * cond["shape"][1] * cond["shape"][2]
    assert told["memory"]["cache_bytes"] == 2 * cond["bytes"]
    half = json.loads(lesa(*call, "--json").out)
    assert half["memory"]["cache_bytes"] * 2 == told["memory"]["cache_bytes"]
    assert half["plan"] == told["plan"] == "FFPPFPPF"


def test_the_table_begins_with_the_memory(lesa: Lesa, cache: Path, bare: Path) -> None:
    out = lesa("plan", "--config", "mine.yaml", "--steps", "8", "--model", bare, *SMALL).out
    assert "MiB of history on the model's device\n  cond: 2 features of 1x" in out
    out = lesa("plan", "--config", "mine.yaml", "--model", bare, "--set", "engine.history.device=cuda:7", *SMALL).out
    assert "MiB of history on cuda:7" in out  # a plan for another machine


def test_without_a_model_there_is_nothing_to_size(lesa: Lesa, cache: Path) -> None:
    outcome = lesa("plan", "--config", "mine.yaml", "--height", "16")
    assert outcome.code == 2
    assert "--height: is what a model is called with. Add --model" in outcome.err


def test_frames_of_a_picture(lesa: Lesa, cache: Path, bare: Path) -> None:
    outcome = lesa("plan", "--config", "mine.yaml", "--model", bare, "--frames", "9")
    assert outcome.code == 2
    assert "num_frames: FluxPipeline does not take it" in outcome.err


def test_a_folder_that_is_damaged(lesa: Lesa, cache: Path, bare: Path) -> None:
    (bare / "transformer" / "config.json").write_text("{")
    outcome = lesa("plan", "--config", "mine.yaml", "--model", bare)
    assert outcome.code == 2
    assert "could not be loaded" in outcome.err
    assert "Traceback" not in outcome.err
