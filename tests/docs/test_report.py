"""The lines of Python in the guide to the report do what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.measure.page.samples import sample_results

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "report.md"


def test_the_page_from_python(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("reference.json").write_text(sample_results().model_dump_json())
    exec(compile(source, GUIDE.name, "exec", dont_inherit=True), {})
    assert capsys.readouterr().out.startswith("ref-hunyuan_video-lesa-n7 {'psnr_db': ")
    assert Path("reference.html").read_text("utf-8").startswith("<!doctype html>")
