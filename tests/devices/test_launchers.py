"""`torchrun` and `accelerate launch` start commands of `lesa`: one process speaks, and files are those of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lesa_framework.cli import run
from tests.devices.fitting import write_configs
from tests.devices.launched import train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ACCELERATE = ("accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--main_process_port=0", "--module")
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
_PATIENCE = 300


def launch(launcher: tuple[str, ...], folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HOME": str(folder / "home")}
    command = [sys.executable, "-m", *launcher, *arguments]
    with (folder / "err").open("w") as err:
        return subprocess.Popen(command, cwd=ROOT, env=environ, text=True, stdout=subprocess.PIPE, stderr=err)


def weights_of(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(folder / f"{name}.safetensors")


def test_accelerate_starts_what_speaks_with_one_voice(flux_folder: Path, tmp_path: Path):
    write_configs(tmp_path)
    launcher = launch(ACCELERATE, tmp_path, "tests.devices.launched", str(flux_folder), str(tmp_path))
    out, _ = launcher.communicate(timeout=_PATIENCE)
    said = (tmp_path / "err").read_text()
    assert launcher.returncode != 0
    assert [(tmp_path / f"codes{rank}").read_text() for rank in range(2)] == ["[2, 2, 0]"] * 2, said
    assert said.count("No such option: --nonsense") == 1  # an argument that neither understands
    assert said.count("error:") == 2, said
    assert said.count("error: config: there is no file 'nowhere.yaml'") == 1  # an error in both
    assert said.count("error: the second process failed") == 1  # an error in one
    assert out.count("wrote") == said.count("100% ") == 1
    assert not (tmp_path / "failed" / "fitted.safetensors").exists()

    assert run(train(str(flux_folder), tmp_path, "fitted", "alone")) == 0
    alone = weights_of(tmp_path / "alone", "fitted")
    torch.testing.assert_close(weights_of(tmp_path / "launched", "fitted"), alone, atol=1e-6, rtol=1e-6)


def test_ctrl_c_to_torchrun_ends_all_and_one_process_resumes(flux_folder: Path, tmp_path: Path):
    write_configs(tmp_path)
    config = tmp_path / "lesa.yaml"
    config.write_text(config.read_text().replace("closed_loop_epochs: 2", "closed_loop_epochs: 4"))
    arguments = train(str(flux_folder), tmp_path, "lesa", "out")
    launcher = launch(TORCHRUN, tmp_path, "lesa_framework", *arguments)
    end = time.monotonic() + _PATIENCE
    while not (tmp_path / "out" / "lesa.checkpoint.safetensors").exists() and time.monotonic() < end:
        assert launcher.poll() is None, (tmp_path / "err").read_text()
        time.sleep(0.02)
    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=_PATIENCE)
    said = (tmp_path / "err").read_text()
    assert launcher.returncode != 0
    assert said.count("stopped. The same command resumes from") == said.count("stopped") == 1
    assert "error:" not in said
    assert not (tmp_path / "out" / "lesa.safetensors").exists()

    assert run(arguments) == 0
    assert run(train(str(flux_folder), tmp_path, "lesa", "alone")) == 0
    alone = weights_of(tmp_path / "alone", "lesa")
    torch.testing.assert_close(weights_of(tmp_path / "out", "lesa"), alone, atol=1e-6, rtol=1e-6)
