from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from lesa_framework.plugin.manager import plugins
from lesa_reference import prompts
from lesa_reference.captions import HELD_OUT_SEED, claims, random_scene
from lesa_reference.scenes import SHAPES, TEXTURES

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
    prompts.draw_prompts(7, 3)  # from here on the training's own draws are remembered
    seeds: list[list[int]] = []
    real = np.random.default_rng
    monkeypatch.setattr(prompts.np.random, "default_rng", lambda seed: seeds.append(seed) or real(seed))
    prompts.draw_prompts(7, 3)
    assert seeds == [[HELD_OUT_SEED + 7, 0]]


@pytest.mark.parametrize("backbone", ["flux", "hunyuan_video"])
def test_no_held_out_prompt_is_ever_a_training_prompt(backbone: str) -> None:
    held_out = {text for seed in (0, 1, 7) for text in prompts.draw_prompts(seed, 600, backbone=backbone)}
    for seed in (0, 3, 4):
        assert not held_out.intersection(prompts.draw_prompts(seed, 600, training=True, backbone=backbone))


def test_the_presets_keep_their_training_prompts() -> None:
    rng = np.random.default_rng([0, 5])
    plain = list(dict.fromkeys(random_scene(rng).caption for _ in range(80)))[:64]
    assert prompts.draw_prompts(0, 64, training=True) == plain
    drawn = prompts.draw_prompts(0, 400, training=True)
    assert drawn[:64] == plain
    assert len(set(drawn)) == 400


@pytest.mark.parametrize("backbone", ["flux", "hunyuan_video"])
def test_demo_prompts_name_background_and_plain_shapes(backbone: str) -> None:
    drawn = prompts.draw_demo_prompts(2, 40, backbone=backbone)
    assert len(set(drawn)) == 40
    assert set(drawn) <= set(prompts.draw_prompts(2, 3000, backbone=backbone)), "held-out ones"
    for caption in drawn:
        assert caption.split()[-2] == "on"
        assert not {"letter", *TEXTURES} & set(caption.split())


@pytest.mark.parametrize(
    ("backbone", "shapes"),
    [
        ("flux", {"circle", "ring", "triangle", "diamond"}),
        ("qwen_image", {"circle"}),
        ("hunyuan_video", {"circle"}),
    ],
)
def test_the_demo_first_asks_for_one_shape_that_the_model_draws_well(backbone: str, shapes: set[str]) -> None:
    drawn = prompts.draw_demo_prompts(0, 40, backbone=backbone)
    named = [[word for word in caption.split() if word in SHAPES] for caption in drawn]
    assert all(len(words) == 1 for words in named[:16])
    assert {word for words in named[:16] for word in words} == shapes
    assert {word for words in named[16:] for word in words} > shapes, "later ones name any shape"
    assert prompts.draw_demo_prompts(0, 8, backbone=backbone) == drawn[:8]


def test_demo_prompts_are_registered() -> None:
    model = plugins().registry.models.get("reference:hunyuan_video")
    assert model.demo_prompts is not None
    assert model.demo_prompts(3, 5) == prompts.draw_demo_prompts(3, 5, backbone="hunyuan_video")


def test_command(tmp_path: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["flux", "--seed", "3", "--count", "5"])
    assert shown.stdout.splitlines() == prompts.draw_prompts(3, 5)
    easy = runner.invoke(app, ["flux", "--seed", "3", "--count", "5", "--demo"])
    assert easy.stdout.splitlines() == prompts.draw_demo_prompts(3, 5)
    runner.invoke(app, ["flux", "--seed", "3", "--count", "5", "--out", str(tmp_path / "p.txt")])
    assert (tmp_path / "p.txt").read_text() == shown.stdout
    assert runner.invoke(app, ["unet"]).exit_code == 2
    assert runner.invoke(app, ["flux", "--out", str(tmp_path / "no" / "p.txt")]).exit_code == 2
