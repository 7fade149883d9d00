"""A small share of the mutants; `python -m tests.artifacts.mutants 5000` uses more."""

from __future__ import annotations

import pytest

from lesa_framework.artifacts import save_artifact
from tests.artifacts.mutants import fuzz, use, whole


@pytest.mark.parametrize("retabulate", [False, True])
def test_the_undamaged_one_is_accepted(tmp_path, retabulate):
    save_artifact(tmp_path / "w.safetensors", whole())
    assert use(tmp_path / "w.safetensors", retabulate=retabulate) == "accepted"


@pytest.mark.parametrize("seed", [101, 102])
def test_no_damage_leads_to_an_error_that_is_not_ours(seed):
    outcomes = fuzz(120, seed)
    assert [outcome for _, outcome in outcomes if outcome.startswith("BUG")] == []
    assert ("numbers", "accepted") not in outcomes
    assert {damage for damage, _ in outcomes} >= {
        "bytes",
        "header",
        "json",
        "metadata",
        "numbers",
        "settings",
        "shapes",
    }
