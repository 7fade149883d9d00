from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Lesa
from tests.measure.page.samples import sample_results


def test_the_page_is_next_to_the_results_by_default(lesa: Lesa, workplace: Path) -> None:
    (workplace / "mine.json").write_text(sample_results().model_dump_json())
    outcome = lesa("report", "mine.json")
    assert outcome.code == 0, outcome.err
    assert "wrote mine.html" in outcome.err
    page = (workplace / "mine.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "Reference models, side by side" in page


def test_committed_results_have_a_page(lesa: Lesa, workplace: Path) -> None:
    source = Path(__file__).parents[2] / "benchmarks" / "results" / "reference-selection.json"
    outcome = lesa("report", source, "--out", "deep/page.html")
    assert outcome.code == 0, outcome.err
    assert "ref-flux-lesa-paper-n7" in (workplace / "deep" / "page.html").read_text("utf-8")


_BROKEN = {
    "not JSON": "{",
    "brackets without end": "[" * 100_000,
    "another format": json.dumps({"a": 1}),
    "no object": "[]",
    "an earlier format": json.dumps({"schema_version": 1, "rows": [], "models": []}),
    "a format of the future": json.dumps({"schema_version": 99}),
    "half of it": json.dumps({"schema_version": 2, "rows": []}),
}


@pytest.mark.parametrize("content", _BROKEN.values(), ids=_BROKEN.keys())
def test_other_files_are_refused_in_one_message(lesa: Lesa, workplace: Path, content: str) -> None:
    (workplace / "mine.json").write_text(content)
    outcome = lesa("report", "mine.json")
    assert outcome.code == 2
    assert outcome.err.startswith("error: mine.json: ")
    assert "Traceback" not in outcome.err
    assert [path.name for path in workplace.iterdir()] == ["mine.json"]


@pytest.mark.parametrize(
    "arguments", [("none.json",), (".",), ("mine.json", "--out", "mine.json"), ("mine.json", "--out", "."), ()]
)
def test_places_that_do_not_fit_are_refused(lesa: Lesa, workplace: Path, arguments: tuple[str, ...]) -> None:
    text = sample_results().model_dump_json()
    (workplace / "mine.json").write_text(text)
    assert lesa("report", *arguments).code == 2
    assert (workplace / "mine.json").read_text() == text
    assert len(list(workplace.iterdir())) == 1
