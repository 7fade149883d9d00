from __future__ import annotations

import json
from pathlib import Path

import pytest

from lesa_framework.cli.plan import linear_grid
from tests.cli.conftest import Lesa

_GOLDEN = "FFFFPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPP"


@pytest.mark.parametrize("preset", ["ref-flux-reuse-n7", "ref-flux-taylorseer-n7"])
def test_presets_compute_the_steps_that_lesa_computes(lesa: Lesa, preset: str) -> None:
    plan = json.loads(lesa("plan", "--config", preset, "--json").out)
    assert plan["plan"] == _GOLDEN
    assert plan["nfe"] == 10


def test_weights_are_shown_by_step(lesa: Lesa, cache: Path) -> None:
    steps = json.loads(lesa("plan", "--config", "mine.yaml", "--steps", "8", "--json").out)["steps"]
    assert [step["decision"] for step in steps[:5]] == ["compute", "compute", "predict", "predict", "compute"]
    assert steps[2]["weights"] == {"1": 2.0, "0": -1.0}
    assert steps[0]["weights"] is None


def test_table(lesa: Lesa, cache: Path) -> None:
    out = lesa("plan", "--config", "mine.yaml", "--steps", "8").out
    assert "mine: 4 of 8 steps computed" in out
    assert "FFPPFPPF" in out
    assert "+2.000·h1 -1.000·h0" in out


def test_the_model_s_own_grid(lesa: Lesa, cache: Path, model: Path) -> None:
    own = json.loads(lesa("plan", "--config", "mine.yaml", "--steps", "8", "--model", model, "--json").out)
    assumed = json.loads(lesa("plan", "--config", "mine.yaml", "--steps", "8", "--shift", "3", "--json").out)
    assert [step["sigma"] for step in own["steps"]] == pytest.approx([step["sigma"] for step in assumed["steps"]])


def test_linear_grid() -> None:
    assert linear_grid(4, 1.0) == (1.0, 0.75, 0.5, 0.25, 0.0)
    assert linear_grid(2, 3.0) == (1.0, 0.75, 0.0)
