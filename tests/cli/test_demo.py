from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Lesa


@pytest.mark.slow
def test_demo(lesa: Lesa, workplace: Path) -> None:
    outcome = lesa("demo", "--prompts", 1, "--out", "here")
    assert outcome.code == 0, outcome.err
    results = json.loads((workplace / "here" / "results.json").read_text())
    names = [row["name"] for row in results["rows"]]
    assert {"uncached", "ref-flux-reuse-n7", "ref-flux-taylorseer-n10", "fewer_steps_8", "fewer_steps_10"} <= set(names)
    assert len(list((workplace / "here" / "images").glob("*.png"))) == len(names)
    assert "ref-flux-reuse-n7" in outcome.out
    assert (workplace / "here" / "report.html").read_text().startswith("<!doctype html>")
    with Image.open(workplace / "here" / "grid.png") as grid:
        assert grid.width > grid.height
