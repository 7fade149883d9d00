"""The quickstart, on a random-weights pipeline saved to a folder, in the process of a user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart.py"


@pytest.mark.slow
def test_the_quickstart_runs(flux, tmp_path):
    flux.save_pretrained(tmp_path / "model")
    command = [
        sys.executable,
        QUICKSTART,
        "--model",
        tmp_path / "model",
        "--out",
        tmp_path / "out",
        "--steps",
        "12",
        "--size",
        "64",
        "--call",
        "max_sequence_length=8",
        "--call",
        "true_cfg_scale=3",
        "--call",
        "negative_prompt=",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    first, *_ = done.stdout.splitlines()
    assert first.startswith("three runs of 12 steps: ")
    assert "height=64, width=64, max_sequence_length=8, true_cfg_scale=3, negative_prompt=''" in first
    assert "12/12" in done.stderr, "diffusers' progress bar"
    assert "12 steps, 4 computed (3.00x)" in done.stdout
    assert "PSNR" in done.stdout
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["cached.png", "uncached.png"]
