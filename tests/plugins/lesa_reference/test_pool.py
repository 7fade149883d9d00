from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from lesa_framework import ArtifactError, LesaError
from lesa_reference.captions import random_scene
from lesa_reference.drawing import draw_clip, draw_picture
from lesa_reference.motion import random_clip, render_clip
from lesa_reference.pool import draw_pool
from lesa_reference.scenes import render
from lesa_reference.shards import SHARD, ctrl_c_later


def draw(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    return rng.integers(0, 256, size=(3, 2, 2), dtype=np.uint8), f"scene {rng.integers(1000)}"


def test_a_scene_depends_on_the_seed_and_its_number_alone(tmp_path: Path) -> None:
    drawn = draw_pool(draw, tmp_path, 7, SHARD + 3, workers=1)
    assert drawn.pixels.shape == (SHARD + 3, 3, 2, 2)
    assert drawn.pixels.dtype == torch.uint8
    for number in (0, 1, SHARD - 1, SHARD, SHARD + 2):
        pixels, caption = draw(np.random.default_rng([7, 3, number]))
        assert np.array_equal(drawn.pixels[number].numpy(), pixels)
        assert drawn.captions[number] == caption
    other = draw_pool(draw, tmp_path, 8, SHARD + 3, workers=1)
    assert not torch.equal(drawn.pixels, other.pixels)


def test_only_what_is_missing_is_drawn(tmp_path: Path) -> None:
    told: list[int] = []
    small = draw_pool(draw, tmp_path, 0, SHARD, workers=1, drawn=told.append)
    large = draw_pool(draw, tmp_path, 0, 2 * SHARD + 1, workers=1, drawn=told.append)
    assert told == [0, SHARD, SHARD, SHARD, SHARD]
    assert torch.equal(large.pixels[:SHARD], small.pixels)
    again = draw_pool(draw, tmp_path, 0, 2 * SHARD + 1, workers=4, drawn=told.append)
    assert told[5:] == [3 * SHARD]
    assert torch.equal(again.pixels, large.pixels)
    assert again.captions == large.captions


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    draw_pool(draw, tmp_path, 0, 1, workers=1)
    (tmp_path / "0-00000.safetensors").write_bytes(b"half")
    with pytest.raises(ArtifactError, match="0-00000"):
        draw_pool(draw, tmp_path, 0, 1, workers=1)


def test_worker_processes_draw_the_same_pool(tmp_path: Path) -> None:
    told: list[int] = []
    alone = draw_pool(draw_picture, tmp_path / "alone", 0, SHARD + 1, workers=1)
    together = draw_pool(draw_picture, tmp_path / "together", 0, SHARD + 1, workers=2, drawn=told.append)
    assert told == [0, SHARD, SHARD]
    assert torch.equal(alone.pixels, together.pixels)
    assert alone.captions == together.captions


def test_a_worker_that_dies_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: ProcessPoolExecutor, *args: object) -> None:
        raise BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", die)
    with pytest.raises(LesaError, match="--workers 1"):
        draw_pool(draw, tmp_path, 0, SHARD + 1, workers=2)


def test_an_error_meanwhile_ends_the_workers(tmp_path: Path) -> None:
    """Ctrl-C for example. Drawing everything would take a minute."""

    def interrupt(count: int) -> None:
        if count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_pool(draw_picture, tmp_path, 0, 200 * SHARD, workers=2, drawn=interrupt)
    assert len(list(tmp_path.glob("0-*"))) < 20
    assert not multiprocessing.active_children()


def test_ctrl_c_does_not_reach_workers_that_are_being_started() -> None:
    if os.name != "posix":
        pytest.skip("signals are POSIX's")
    import signal

    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    with ctrl_c_later():
        assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == {*blocked, signal.SIGINT}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == blocked


def test_a_picture_is_drawn_as_bytes() -> None:
    pixels, caption = draw_picture(np.random.default_rng(5))
    scene = random_scene(np.random.default_rng(5))
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.transpose(1, 2, 0) / 255 - render(scene)).max() <= 0.5001 / 255
    assert caption == scene.caption


def test_a_clip_is_shrunk_as_torch_does() -> None:
    pixels, caption = draw_clip(np.random.default_rng(5))
    clip = random_clip(np.random.default_rng(5))
    frames = torch.from_numpy(render_clip(clip)).permute(0, 3, 1, 2)
    expected = interpolate(frames, (48, 48), mode="bilinear", antialias=True).transpose(0, 1)
    assert pixels.shape == (3, 9, 48, 48)
    assert (torch.from_numpy(pixels) / 255 - expected).abs().max() <= 0.501 / 255
    assert caption == clip.caption


def test_a_process_that_draws_needs_no_torch() -> None:
    code = "import sys, lesa_reference.shards, lesa_reference.train; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "diffusers", "transformers", "pydantic"} & set(loaded)
