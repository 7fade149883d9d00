"""docs/reference/bundled-models.md tells numbers of the published benchmarks, which are measured anew now and then."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "bundled-models.md").read_text("utf-8")
RESULTS = json.loads((ROOT / "benchmarks" / "results" / "reference.json").read_text("utf-8"))
NAMES = {"reference:flux": "FLUX", "reference:qwen_image": "Qwen-Image", "reference:hunyuan_video": "HunyuanVideo"}


def test_the_caption_scores_are_those_of_the_uncached_runs() -> None:
    told = [
        f"{row['caption_score']:.2f} ({NAMES[row['model']]})" for row in RESULTS["rows"] if row["name"] == "uncached"
    ]
    assert len(told) == 3
    assert [score for score in told if score not in PAGE] == []


def test_the_captions_that_are_hard_to_draw_are_counted() -> None:
    hard = {"letter", "striped", "dotted", "checkered"}
    counts = {
        model["model"]: sum(bool(hard & {*pair["prompt"].split()}) for pair in model["pairs"])
        for model in RESULTS["models"]
    }
    pictures, clips = counts["reference:flux"], counts["reference:hunyuan_video"]
    assert counts["reference:qwen_image"] == pictures
    assert f"{pictures} of 32 for pictures and {clips} of 32 for clips" in PAGE
