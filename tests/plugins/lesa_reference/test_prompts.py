from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from lesa_reference import prompts
from lesa_reference.captions import HELD_OUT_SEED, claims, random_scene

app = typer.Typer()
app.command()(prompts.main)


def test_draws_are_repeatable_different_and_within_the_grammar() -> None:
    first = prompts.draw_prompts(1, 50)
    assert first == prompts.draw_prompts(1, 50)
    assert len(set(first)) == 50
    assert first[:10] == prompts.draw_prompts(1, 10)
    assert all(claims(prompt) for prompt in first)
    assert first != prompts.draw_prompts(2, 50)
    assert first != prompts.draw_prompts(1, 50, training=True)


def test_scenes_come_from_above_the_training_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[list[int]] = []
    real = np.random.default_rng
    monkeypatch.setattr(prompts.np.random, "default_rng", lambda seed: seeds.append(seed) or real(seed))
    prompts.draw_prompts(7, 3)
    assert seeds[0][0] == HELD_OUT_SEED + 7


def test_command(tmp_path: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["flux", "--seed", "3", "--count", "5"])
    assert shown.stdout.splitlines() == prompts.draw_prompts(3, 5)
    runner.invoke(app, ["flux", "--seed", "3", "--count", "5", "--out", str(tmp_path / "p.txt")])
    assert (tmp_path / "p.txt").read_text() == shown.stdout
    assert runner.invoke(app, ["unet"]).exit_code == 2
    assert runner.invoke(app, ["flux", "--out", str(tmp_path / "no" / "p.txt")]).exit_code == 2


def test_random_scene_is_what_is_drawn() -> None:
    rng = np.random.default_rng([HELD_OUT_SEED, 0])
    assert prompts.draw_prompts(0, 1) == [random_scene(rng).caption]
