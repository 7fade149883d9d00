"""Pages tell numbers and show pictures of the published benchmarks, which are measured anew now and then."""

from __future__ import annotations

import json
import re

from tests.docs.pages import PAGES, ROOT

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


def test_a_picture_of_the_gallery_is_called_the_same_on_every_page() -> None:
    """The gallery's pictures and their names change with the benchmarks; other pages show some of them."""
    named: dict[str, dict[str, str]] = {}
    for page in PAGES:
        for name, file in re.findall(r"!\[([^\]]*)\]\(\S*images/gallery/([\w-]+\.webp)\)", page.read_text("utf-8")):
            named.setdefault(page.name, {})[file] = name
    gallery = named.pop("gallery.md")
    assert "getting-started.md" in named
    for page, shown in named.items():
        assert shown == {file: gallery[file] for file in shown}, page
