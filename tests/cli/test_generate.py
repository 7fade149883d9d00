from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from lesa_framework.sizing import foresee
from tests.cli.conftest import SMALL, Lesa
from tests.pipelines import worded


def test_one_file(lesa: Lesa, model: Path, workplace: Path) -> None:
    outcome = lesa("generate", "a red ring", "--model", model, "--steps", 4, "--out", "ring.png", *SMALL)
    assert outcome.code == 0, outcome.err
    with Image.open(workplace / "ring.png") as image:
        assert image.size == (16, 16)
    assert re.search(r"4/4 steps computed  made in \d+\.\d\d s  ", outcome.out)


def test_a_folder_and_a_cache(lesa: Lesa, cache: Path, model: Path, workplace: Path) -> None:
    outcome = lesa(
        "generate", "a red ring", "a blue star", "--count", 2, "--config", "mine.yaml", "--set", "schedule.interval=4",
        "--model", model, "--steps", 8, "--batch", 3, "--out", "images", "--json", *SMALL,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    images = json.loads(outcome.out)["images"]
    assert [entry["seed"] for entry in images] == [0, 1, 0, 1]
    assert {(entry["plan"], entry["nfe"]) for entry in images} == {("FFPPPFPP", 3)}
    assert sorted(path.name for path in (workplace / "images").iterdir()) == [
        "000-a-red-ring-s0.png", "001-a-red-ring-s1.png", "002-a-blue-star-s0.png", "003-a-blue-star-s1.png",
    ]  # fmt: skip


def test_a_call_is_rehearsed_once(
    lesa: Lesa, cache: Path, model: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []

    def look(*given: Any, **named: Any) -> Any:
        looks.append(given)
        return foresee(*given, **named)

    monkeypatch.setattr("lesa_framework.api.foresee", look)
    monkeypatch.setattr("lesa_framework.cli.generate.load_pipeline", lambda *_, **__: worded.seeing_wan())
    size = ("--height", 32, "--width", 32, "--call", "num_frames=5")
    outcome = lesa("generate", "a", "--config", "mine.yaml", "--model", model, "--steps", 8, *size)
    assert outcome.code == 0, outcome.err
    assert len(looks) == 1, "transformers that take turns need a look at the calls, which the forecast takes anyway"


def test_a_picture_depends_on_its_seed_and_not_on_its_batch(lesa: Lesa, model: Path, workplace: Path) -> None:
    lesa("generate", "a red ring", "--count", 2, "--model", model, "--steps", 3, "--out", "both", *SMALL)
    lesa("generate", "a red ring", "--seed", 1, "--model", model, "--steps", 3, "--out", "alone.png", *SMALL)
    together = np.asarray(Image.open(workplace / "both" / "001-a-red-ring-s1.png"), dtype=int)
    other = np.asarray(Image.open(workplace / "both" / "000-a-red-ring-s0.png"), dtype=int)
    alone = np.asarray(Image.open(workplace / "alone.png"), dtype=int)
    assert abs(together - alone).max() <= 1
    assert abs(together - other).max() > 1


def test_a_speedup_without_a_configuration(lesa: Lesa, model: Path, workplace: Path, monkeypatch) -> None:
    monkeypatch.setenv("LESA_WEIGHTS", str(workplace))
    arguments = ("generate", "a red ring", "--count", 3, "--speedup", 4, "--model", model, "--batch", 2, *SMALL)
    outcome = lesa(*arguments, "--steps", 8)
    assert outcome.code == 0, outcome.err
    first, *images = outcome.out.splitlines()
    assert first == (
        "chosen: taylorseer (no weights), 2 of 8 steps computed: no weights fit: none for this model were found"
    )
    assert ["2/8 steps computed" in line for line in images] == [True] * 3
    found = json.loads(lesa(*arguments, "--steps", 8, "--json").out)
    assert (found["choice"]["name"], found["choice"]["nfe"]) == ("taylorseer", 2)
    assert {image["plan"] for image in found["images"]} == {"FPPPFPPP"}


@pytest.mark.filterwarnings("default:accelerate:lesa_framework.LesaWarning")
def test_a_speedup_in_few_steps(lesa: Lesa, model: Path, workplace: Path, monkeypatch) -> None:
    monkeypatch.setenv("LESA_WEIGHTS", str(workplace))
    outcome = lesa("generate", "a red ring", "--speedup", 5, "--model", model, "--steps", 4, *SMALL)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("chosen: nothing: there is nothing to gain in a run of 4 steps")
    assert outcome.err.count("note: accelerate: there is nothing to gain in a run of 4 steps") == 1


@pytest.mark.filterwarnings("default:weights:lesa_framework.LesaWarning")
def test_weights_that_cannot_be_read_are_told_once(lesa: Lesa, model: Path, workplace: Path) -> None:
    (workplace / "trained").mkdir()
    (workplace / "trained" / "cut.safetensors").write_text("no weights")
    command = ("generate", "a red ring", "--speedup", 4, "--weights", "trained", "--model", model, "--steps", 8)
    outcome = lesa(*command, *SMALL)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("note: weights: cut.safetensors is left out: ") == 1


def test_a_folder_draws_no_prompt_of_its_own(lesa: Lesa, model: Path, workplace: Path) -> None:
    outcome = lesa("generate", "--model", model, "--out", "images", *SMALL)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"PROMPT: '{model}' has no source of prompts. Write what to draw: lesa generate 'a red ring' --model" in (
        outcome.err
    )
    assert "--prompts" not in outcome.err
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "is_known"),
    [
        (("generate", "rain"), True),
        (("generate", "rain"), False),
        (("eval", "mine.yaml", "--prompts", "prompts.txt"), True),
    ],
)
def test_sounds_are_refused_as_early_as_they_are_known(
    lesa: Lesa, cache: Path, model: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...], is_known: bool,
) -> None:  # fmt: skip
    decode, steps = AutoencoderKL.decode, []

    def decode_sound(self: Any, latents: torch.Tensor, **options: Any) -> tuple[torch.Tensor]:
        if latents.is_meta and not is_known:
            raise RuntimeError("it needs numbers")
        return (decode(self, latents, **options)[0].flatten(2),)

    monkeypatch.setattr(AutoencoderKL, "decode", decode_sound)
    monkeypatch.setattr("lesa_framework.cli.console.StepProgress.step", lambda *_: steps.append(1))
    (workplace / "prompts.txt").write_text("rain\n")
    outcome = lesa(*command, "--model", model, "--steps", 4, "--out", "found", *SMALL)
    assert outcome.code == 2
    assert "error: model: FluxPipeline makes samples of shape (3, 256), which are neither images nor" in outcome.err
    assert bool(steps) is not is_known


@pytest.mark.parametrize("out", ["renders/FLUX.1-dev", "v0.2"])
def test_a_new_folder_may_have_a_dot_in_its_name(lesa: Lesa, model: Path, workplace: Path, out: str) -> None:
    outcome = lesa("generate", "a red ring", "--model", model, "--steps", 2, "--out", out, *SMALL)
    assert outcome.code == 0, outcome.err
    assert [path.name for path in (workplace / out).iterdir()] == ["000-a-red-ring-s0.png"]


@pytest.mark.parametrize("out", ["ring.jpg", "ring.WebP", "ring.mp4"])
def test_other_pictures_and_videos_are_refused(lesa: Lesa, model: Path, workplace: Path, out: str) -> None:
    outcome = lesa("generate", "a red ring", "--model", model, "--out", out, *SMALL)
    assert outcome.code == 2
    assert f"--out {out}: images are written as PNG. Give a .png file or a folder." in outcome.err
    assert list(workplace.iterdir()) == []
