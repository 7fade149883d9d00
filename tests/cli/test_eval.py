from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lesa_framework import LesaError
from lesa_framework.files import read_prompts
from lesa_framework.measure.lineup import Contender
from tests.cli.conftest import SMALL, Lesa

_ROW = {"name", "nfe", "num_steps", "psnr_db", "ssim", "rel_l2", "caption_score", "seconds", "speedup", "cache_bytes"}


def test_results_and_report(lesa: Lesa, cache: Path, model: Path, workplace: Path) -> None:
    (workplace / "prompts.txt").write_text("a red ring\n\na <b>blue</b> star\n")
    (workplace / "always.yaml").write_text("schedule: {kind: always}\npredictor: {kind: reuse}\n")
    outcome = lesa(
        "eval", "mine.yaml", "always.yaml", "--model", model, "--prompts", "prompts.txt", "--seeds", 2, "--steps", 8,
        "--batch", 3, "--out", "deep/results.json", "--report", "report.html", *SMALL,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "mine" in outcome.out
    results = json.loads((workplace / "deep" / "results.json").read_text())
    (found,) = results["models"]
    assert (found["model"], found["num_steps"]) == (str(model), 8)
    rows = {row["name"]: row for row in results["rows"]}
    assert list(rows) == ["uncached", "mine", "always", "fewer_steps_8", "fewer_steps_4"]
    assert all(set(row) > _ROW for row in rows.values())
    assert rows["uncached"]["psnr_db"] is None
    assert rows["uncached"]["nfe"] == 8
    assert rows["uncached"]["speedup"] == 1.0
    assert rows["mine"]["nfe"] == 4
    assert rows["mine"]["num_steps"] == 8
    assert rows["mine"]["cache_bytes"] > 0
    assert rows["fewer_steps_4"]["num_steps"] == 4
    assert rows["always"]["psnr_db"] is None
    assert rows["always"]["rel_l2"] == 0.0
    assert len(found["pairs"]) == len(found["details"]["mine"]["scores"]["psnr_db"]) == 4
    page = (workplace / "report.html").read_text()
    assert "a &lt;b&gt;blue&lt;/b&gt; star" in page
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"(?!data:|#)", markup)
    assert markup.count("<img ") == 5 * 4
    assert not list(workplace.rglob("*.partial"))


def test_json_on_standard_output(lesa: Lesa, cache: Path, model: Path, workplace: Path) -> None:
    (workplace / "prompts.txt").write_text("a red ring\n")
    outcome = lesa("eval", "mine.yaml", "--model", model, "--prompts", "prompts.txt", "--steps", 6, "--json", *SMALL)
    assert outcome.code == 0, outcome.err
    assert [row["name"] for row in json.loads(outcome.out)["rows"]] == ["uncached", "mine", "fewer_steps_3"]
    assert "the runs take less than 10 seconds" in outcome.err


def test_a_method_that_fails_is_an_error_after_the_others_were_measured(
    lesa: Lesa, cache: Path, model: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached = Contender.attached

    def failing(contender: Contender, *arguments: Any) -> Any:
        if contender.name == "mine":
            raise LesaError("no memory left")
        return attached(contender, *arguments)

    monkeypatch.setattr(Contender, "attached", failing)
    (workplace / "prompts.txt").write_text("a red ring\n")
    outcome = lesa(
        "eval", "mine.yaml", "--model", model, "--prompts", "prompts.txt", "--steps", 6, "--out", "results.json", *SMALL
    )
    assert outcome.code == 1
    assert "error: mine: LesaError: no memory left" in outcome.err
    rows = {row["name"]: row for row in json.loads((workplace / "results.json").read_text())["rows"]}
    assert rows["mine"]["error"] == "LesaError: no memory left"
    assert rows["fewer_steps_3"]["psnr_db"] is not None


def test_a_byte_order_mark_is_no_part_of_the_first_prompt(workplace: Path) -> None:
    (workplace / "prompts.txt").write_bytes(b"\xef\xbb\xbfa red ring\r\na star\n")
    assert read_prompts(workplace / "prompts.txt") == ["a red ring", "a star"]
