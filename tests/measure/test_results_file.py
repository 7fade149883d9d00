from __future__ import annotations

import json
from pathlib import Path

import pytest

from lesa_framework import ConfigError
from lesa_framework.measure.results import Kind, ModelResults, Results, Row
from lesa_framework.measure.results_file import read_results
from lesa_framework.search.record import Record
from tests.measure.page.samples import sample_results


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(sample_results().model_dump_json())
    assert read_results(path) == sample_results()


ROW = {"model": "m", "name": "a", "kind": "cache", "family": "f", "nfe": 1, "num_steps": 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "has no schema_version, .*: make|has no schema_version, .* Make a new one with `lesa bench FILE"),
        ({"rows": [], "command": "lesa eval a.yaml --out b.json"}, "Make a new one with `lesa eval a.yaml --out b"),
        ({"schema_version": 1, "command": "lesa bench b.yaml"}, "is 1, .* reads 2. Make a new one with `lesa bench b"),
        ({"schema_version": 99, "command": 3}, "is 99, .* reads 2. Make a new one with `lesa bench FILE.yaml` or"),
        ({"schema_version": 2, "rows": []}, "models: Field required"),
        ({"schema_version": 2, "rows": [{**ROW, "lpips": 1}], "models": []}, "lpips: `metrics` has no description"),
        ({"schema_version": 2, "rows": [{**ROW, "lpips": "x"}], "models": []}, "rows.0.lpips: Input should be a valid"),
        ([], "has no schema_version"),
    ],
)
def test_other_files_are_refused_with_the_command_that_makes_a_new_one(
    tmp_path: Path, content: object, message: str
) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=message) as caught:
        read_results(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "Make a new one with `lesa " in str(caught.value)


LOG = {"versions": {"torch": "2"}, "fingerprint": "f", "drift_db": 30.0, "log": []}
RECORD = Record(fingerprint="f", about={}, whole=2).model_dump(mode="json")


@pytest.mark.parametrize(
    ("content", "pages", "told"),
    [
        (LOG, ["mine.html"], "this is the log of a fit, not a results file."),
        (RECORD, ["mine.html"], "this is the record of a search, not a results file. Its page is {}/mine.html."),
        (RECORD, ["other.html"], "this is the record of a search, not a results file."),
    ],
)
def test_other_files_of_ours_are_called_what_they_are(
    tmp_path: Path, content: object, pages: list[str], told: str
) -> None:
    path = tmp_path / "mine.search.json"
    path.write_text(json.dumps(content))
    for page in pages:
        (tmp_path / page).touch()
    with pytest.raises(ConfigError) as caught:
        read_results(path)
    wanted = "Give a file that `lesa bench FILE.yaml` or `lesa eval CONFIG --out FILE.json` wrote."
    assert str(caught.value) == f"{path}: {told.format(tmp_path)} {wanted}"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[" * 100_000,
        '{"a": 1e999}',
        '{"a": 1' + "0" * 400 + "}",
        '{"a": "\\ud800"}',
        '{"schema_version": 2, "rows": NaN}',
        '{"a": -Infinity}',
    ],
)
def test_what_is_not_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        read_results(path)


@pytest.mark.parametrize(
    ("models", "told"), [(["m", "m"], "names one twice"), ([], "has rows of m, which it does not describe")]
)
def test_rows_and_models_belong_together(tmp_path: Path, models: list[str], told: str) -> None:
    described = [ModelResults(model=name, num_steps=50, batch=1) for name in models]
    row = Row(model="m", name="a", kind=Kind.CACHE, family="a", nfe=10, num_steps=50)
    path = tmp_path / "results.json"
    path.write_text(Results(rows=[row], models=described).model_dump_json())
    with pytest.raises(ConfigError, match=f"models: {told}"):
        read_results(path)
