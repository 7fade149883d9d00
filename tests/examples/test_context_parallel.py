"""The example of a split sequence, started by torchrun: its image is that of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "context_parallel.py"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


@pytest.mark.slow
def test_two_processes_make_the_image_of_one(flux_folder, tmp_path):
    config = tmp_path / "line.yaml"
    config.write_text("{schedule: {kind: even, speedup: 3}, predictor: {kind: taylorseer, order: 1}}")
    images = []
    for number, launcher in ((1, ()), (2, TORCHRUN)):
        out = tmp_path / f"{number}.png"
        options = ("--model", flux_folder, "--config", config, "--out", out, "--steps", "6", "--size", "64")
        done = subprocess.run(
            [sys.executable, *launcher, EXAMPLE, *options],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("6 steps, 2 computed") == done.stdout.count(f"split among {number}:") == 1
        images.append(np.asarray(Image.open(out)).astype(int))
    assert np.abs(images[0] - images[1]).max() <= 1  # 1e-5 may round a pixel the other way
