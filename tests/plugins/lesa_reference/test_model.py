"""The bundled model, as a user meets it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lesa_reference
from lesa_framework.plugin.manager import plugins
from lesa_reference.caption_network import CLIPS, PICTURES, caption_scores, load_network
from lesa_reference.captions import random_scene
from lesa_reference.drawing import draw_clip
from lesa_reference.scenes import render
from lesa_reference.sizes import Backbone

FOLDER = Path(lesa_reference.__file__).parent


@pytest.mark.parametrize("backbone", list(Backbone))
def test_the_bundles_are_small(backbone: Backbone) -> None:
    sizes = [file.stat().st_size for file in (FOLDER / "models" / backbone).rglob("*") if file.is_file()]
    assert 4e6 < sum(sizes) < 8e6


@pytest.mark.slow
def test_a_clip_moves(reference: Callable[[str], Any]) -> None:
    call = dict(plugins().registry.models.get("reference:hunyuan_video").call)
    frames = reference("hunyuan_video")(
        "a red circle moving left",
        num_inference_steps=20,
        generator=torch.Generator().manual_seed(0),
        output_type="pt",
        **call,
    ).frames
    assert frames.shape == (1, 9, 3, 48, 48)
    assert float((frames[:, 0] - frames[:, -1]).abs().mean()) > 0.02


def test_the_caption_score_tells_right_captions_from_wrong_ones() -> None:
    rng = np.random.default_rng(123)
    scenes = [random_scene(rng) for _ in range(64)]
    pixels = torch.from_numpy(np.stack([render(scene) for scene in scenes])).permute(0, 3, 1, 2)
    captions = [scene.caption for scene in scenes]
    network = load_network(PICTURES)
    right = caption_scores(network, pixels, captions)
    wrong = caption_scores(network, pixels, [*captions[1:], captions[0]])
    assert sum(s for s in right if s is not None) / 64 > 0.8
    assert sum(s for s in wrong if s is not None) / 64 < 0.2
    assert caption_scores(network, pixels[:1], ["no such thing"]) == [None]


def test_so_does_that_of_clips() -> None:
    rng = np.random.default_rng(123)
    clips, captions = zip(*(draw_clip(rng) for _ in range(32)), strict=True)
    pixels = torch.from_numpy(np.stack(clips)).transpose(1, 2) / 255
    network = load_network(CLIPS)
    right = caption_scores(network, pixels, captions)
    wrong = caption_scores(network, pixels, [*captions[1:], captions[0]])
    assert sum(s for s in right if s is not None) / 32 > 0.6
    assert sum(s for s in wrong if s is not None) / 32 < 0.2


@pytest.mark.slow
def test_a_prompt_gives_a_picture_of_what_it_names(reference_flux: Any) -> None:
    call = dict(plugins().registry.models.get("reference:flux").call)
    prompts = ["a red ring on blue", "a yellow star", "a green square left of a white circle", "a blue cross on orange"]
    call["negative_prompt"] = [call["negative_prompt"]] * len(prompts)
    images = reference_flux(
        prompts,
        num_inference_steps=20,
        generator=[torch.Generator().manual_seed(seed) for seed in range(len(prompts))],
        output_type="pt",
        **call,
    ).images
    assert images.shape == (4, 3, 64, 64)
    scores = caption_scores(load_network(PICTURES), images, prompts)
    shuffled = caption_scores(load_network(PICTURES), images, prompts[::-1])
    assert sum(s or 0 for s in scores) > sum(s or 0 for s in shuffled) + 1.0
