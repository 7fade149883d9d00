"""The plain transformer: the file runs as it is, and nothing but its configuration knows where its blocks are."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "plain_dit.py"


def test_the_example_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["plain_dit.py", "--steps", "8"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out
    assert "8 steps, 3 computed (2.67x)" in printed
    assert "branch0: FFPPPFPP\n  branch1: FFPPPFPP" in printed
    error = float(printed.split("relative error")[1])
    assert 0 < error < 1
