"""Damaged weights in a folder do no harm: they are left out, or not taken."""

from __future__ import annotations

import random
import warnings
from dataclasses import replace

import pytest

from lesa_framework import LesaWarning, Tap
from lesa_framework.automatic import shelf
from tests.artifacts.mutants import mutant, whole
from tests.automatic.shelves import chooser

CONFIG = """
schedule: {kind: steps, compute: [0, 1, 3]}
router: {kind: thresholds, boundaries: [0.5]}
predictor: {kind: lesa, weights: w.safetensors}
"""


@pytest.mark.parametrize("seed", range(60))
def test_damaged_weights(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(shelf.plugins().registry, "presets", type(shelf.plugins().registry.presets)("preset", "preset"))
    artifact = whole()
    (tmp_path / "w.yaml").write_text(CONFIG)
    (tmp_path / "w.safetensors").write_bytes(mutant(random.Random(seed), artifact)[1])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = shelf.find_weights(tmp_path)
        source = chooser(*found, speedup=2)
        for sigmas in (artifact.metadata.sigmas, tuple(1 - step / 8 for step in range(9))):
            assert source.for_run(replace(artifact.metadata.run, sigmas=sigmas)).choice.name in {"w", "taylorseer"}
        assert source.tap("tiny", artifact.metadata.models, tuple(Tap)) is Tap.PRE_HEAD
    assert all(issubclass(each.category, LesaWarning) for each in told)
    assert found or any("w.yaml is left out" in str(each.message) for each in told)
