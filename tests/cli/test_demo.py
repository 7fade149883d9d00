from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from lesa_framework.cli.demo import batch_of
from tests.cli.conftest import Lesa


@pytest.mark.slow
def test_demo(lesa: Lesa, workplace: Path) -> None:
    images = workplace / "here" / "images"
    images.mkdir(parents=True)
    for name in ("07-uncached.png", "05-ref-flux-lesa-n7.png", "mine.png"):
        (images / name).write_bytes(b"of an earlier demo, or the user's")
    outcome = lesa("demo", "--prompts", 1, "--out", "here")
    assert outcome.code == 0, outcome.err
    (images / "mine.png").unlink()
    results = json.loads((workplace / "here" / "results.json").read_text())
    assert "on this machine" in outcome.err
    assert results["command"] == "lesa demo --backbone flux --prompts 1 --seed 0 --out here"
    assert results["models"][0]["pairs"][0]["prompt"].split()[-2] == "on"
    names = [row["name"] for row in results["rows"]]
    assert {"uncached", "ref-flux-reuse-n7", "ref-flux-taylorseer-n10", "fewer_steps_8", "fewer_steps_10"} <= set(names)
    assert len(list((workplace / "here" / "images").glob("*.png"))) == len(names)
    assert "ref-flux-reuse-n7" in outcome.out
    assert (workplace / "here" / "report.html").read_text().startswith("<!doctype html>")
    with Image.open(workplace / "here" / "grid.png") as grid:
        assert grid.width > 4 * 192, "uncached, four predictors and a plain run"


@pytest.mark.parametrize(("prompts", "batch"), [(1, 1), (2, 1), (3, 1), (8, 4), (15, 7), (16, 8), (64, 8)])
def test_every_method_is_timed_twice_where_that_is_possible(prompts: int, batch: int) -> None:
    assert batch_of(prompts) == batch
