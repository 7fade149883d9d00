from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from lesa_framework.cli import console
from lesa_framework.cli.results import deliver
from lesa_framework.measure.results import Results
from tests.measure.page.samples import sample_results, timed_results


def shown(results: Results, capsys: pytest.CaptureFixture[str]) -> list[str]:
    deliver(results, None, None, as_json=False)
    return [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_a_table_for_each_model_by_nfe_with_the_best_first(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(sample_results(), capsys)
    names = [line.split()[0] for line in lines]
    assert [line for line in lines if line.endswith("samples")] == [
        "reference:flux, 50 steps, 12 samples", "reference:hunyuan_video, 50 steps, 12 samples",
    ]  # fmt: skip
    first = names.index("uncached")
    assert names[first + 1] == "ref-flux-taylorseer-every5"
    assert names[first + 7 : first + 9] == ["diffusers-taylorseer", "diffusers-magcache"], "excluded ones last"
    assert names[first + 9] == "ref-flux-lesa-n10"
    assert lines[first + 8].split() == ["diffusers-magcache", "10", "failed"]


def test_scores_are_explained_below_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert "caption: Is it what was asked for?" in shown(sample_results(), capsys)[-2:]


def test_signs_that_every_terminal_knows(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line for line in shown(sample_results(), capsys) if line.startswith(("uncached", "ref-"))]
    assert rows
    assert all(line.isascii() for line in rows)


def test_a_model_that_was_only_timed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(timed_results(), capsys)
    assert lines[0] == "big, 50 steps"
    assert lines[-2].split() == ["lesa-n7", "10", "10.2", "9.000", "4.40x", "256", "MiB"]


def test_below_the_tables_is_how_a_speedup_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    timed = timed_results()
    line = "speed-up: Uncached seconds over the row's, batch by batch; the median."
    assert shown(timed, capsys)[-1] == line
    untimed = [row if row.name == "uncached" else row.model_copy(update={"speedup": None}) for row in timed.rows]
    assert line not in shown(timed.model_copy(update={"rows": untimed}), capsys)


def test_columns_go_where_there_is_no_room_and_no_number_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    headings, told = {}, {}
    for width in (70, 80, 110, 200):
        monkeypatch.setattr(console, "results", lambda width=width: Console(width=width))
        lines = shown(sample_results(), capsys)
        assert "…" not in "".join(lines) or width == 70
        told[width] = next(line for line in lines if line.startswith("caption:"))
        headings[width] = next(line for line in lines if line.startswith("method"))
    assert "peak memory" in headings[200]
    assert "peak memory" not in headings[110]
    assert "SSIM" in headings[110]
    assert "caption" not in headings[70]
    assert "A wider terminal shows it; uncached it is " in told[70]
    assert "A wider terminal" not in told[200]
    assert "PSNR" in headings[70]


def test_what_is_left_out_for_the_width_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    def told(out=None) -> list[str]:
        deliver(sample_results(), out, None, as_json=False)
        return [line.strip() for line in capsys.readouterr().out.splitlines() if "left out" in line]

    monkeypatch.setattr(console, "results", lambda: Console(width=110))
    (line,) = told()
    assert "peak memory" in line
    assert line.endswith("--json prints them, and a wider terminal shows them.")
    assert "They are in the results file, and" in told(tmp_path / "a.json")[0]
    monkeypatch.setattr(console, "results", lambda: Console(width=200))
    assert told() == []


def test_files_are_written_and_named_and_json_is_what_the_file_holds(tmp_path, capsys) -> None:
    out, page = tmp_path / "a.json", tmp_path / "a.html"
    deliver(sample_results(), out, page, [tmp_path / "images"], as_json=True)
    printed = capsys.readouterr()
    assert printed.out == out.read_text("utf-8")
    assert f"wrote {out}, {page} and {tmp_path / 'images'}" in printed.err
    assert Results.model_validate_json(printed.out) == sample_results()
    assert page.read_text("utf-8").startswith("<!doctype html>")
    deliver(sample_results(), None, None, as_json=True)
    assert "wrote" not in capsys.readouterr().err


def test_json_is_printed_in_signs_that_every_pipe_has_and_written_as_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results = sample_results().model_copy(update={"title": "猫 \N{CAT FACE} \\u0041"})
    deliver(results, tmp_path / "a.json", None, as_json=True)
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert Results.model_validate_json(printed) == results
    assert '"猫 \N{CAT FACE} ' in (tmp_path / "a.json").read_text("utf-8")
