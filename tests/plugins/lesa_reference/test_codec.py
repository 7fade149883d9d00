from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from lesa_reference.stages import RECIPES, Recipe
from lesa_reference.vae import VaeTrainer, calibrate

recipes = pytest.mark.parametrize("recipe", RECIPES.values(), ids=[name.value for name in RECIPES])


@cache
def drawn(recipe: Recipe) -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([recipe.draw(rng)[0] for _ in range(8)]))


@recipes
def test_a_vae_gives_back_what_it_got_in_the_same_layout(recipe: Recipe) -> None:
    torch.manual_seed(0)
    vae = recipe.codec.new()
    pixels = recipe.codec.pixels(drawn(recipe)[:2])
    assert pixels.min() >= -1
    assert pixels.max() <= 1
    assert pixels.max() - pixels.min() > 1.2
    with torch.no_grad():
        latents = vae.encode(pixels).latent_dist.mean
        assert vae.decode(latents).sample.shape == pixels.shape
    assert recipe.codec.frames(pixels).shape == (2, 3, 64, 64)


@recipes
def test_calibrated_latents_have_variance_one(recipe: Recipe) -> None:
    torch.manual_seed(0)
    vae = recipe.codec.new()
    calibrate(vae, recipe.codec, drawn(recipe))
    with torch.no_grad():
        pixels = recipe.codec.pixels(drawn(recipe))
        latents = recipe.codec.normalise(vae, vae.encode(pixels).latent_dist.mean)
    assert float(latents.std()) == pytest.approx(1, abs=0.02)


@recipes
def test_a_few_steps_make_the_loss_smaller(recipe: Recipe) -> None:
    torch.manual_seed(0)
    trainer = VaeTrainer(recipe.codec.new(), recipe.codec, drawn(recipe), steps=6, seed=0, batch=2)
    losses = list(trainer.train())
    assert losses[-1] < losses[0]


def pictures(pixels: Tensor) -> set[bytes]:
    """Every picture of a batch, and every frame of its clips."""
    frames = pixels if pixels.ndim == 4 else pixels.transpose(1, 2).flatten(0, 1)
    return {frame.contiguous().numpy().tobytes() for frame in frames}


@recipes
@pytest.mark.parametrize("done", [0.1, 0.9])
def test_lessons_are_drawn_from_the_pool(recipe: Recipe, done: float) -> None:
    rng = np.random.default_rng(1)
    lessons = [pictures(recipe.codec.lesson(drawn(recipe), rng, 4, done)) for _ in range(2)]
    assert lessons[0] != lessons[1]
    assert lessons[0] | lessons[1] <= pictures(drawn(recipe))
