from __future__ import annotations

import numpy as np
import pytest
import torch

from lesa_reference.train import RECIPES, Recipe
from lesa_reference.vae import VaeTrainer, calibrate

recipes = pytest.mark.parametrize("recipe", RECIPES.values(), ids=[name.value for name in RECIPES])


@recipes
def test_a_vae_gives_back_what_it_got_in_the_same_layout(recipe: Recipe) -> None:
    torch.manual_seed(0)
    vae = recipe.codec.new()
    pixels, captions = recipe.codec.batch(np.random.default_rng(0), 2)
    assert pixels.min() >= -1.01
    assert pixels.max() <= 1.01
    with torch.no_grad():
        latents = vae.encode(pixels).latent_dist.mean
        assert vae.decode(latents).sample.shape == pixels.shape
    assert len(captions) == 2
    assert recipe.codec.frames(pixels).shape == (2, 3, 64, 64)


@recipes
def test_calibrated_latents_have_variance_one(recipe: Recipe) -> None:
    torch.manual_seed(0)
    vae = recipe.codec.new()
    calibrate(vae, recipe.codec, seed=0, count=8)
    with torch.no_grad():
        pixels, _ = recipe.codec.batch(np.random.default_rng([0, 2]), 8)
        latents = recipe.codec.normalise(vae, vae.encode(pixels).latent_dist.mean)
    assert float(latents.std()) == pytest.approx(1, abs=0.02)


@recipes
def test_a_few_steps_make_the_loss_smaller(recipe: Recipe) -> None:
    torch.manual_seed(0)
    trainer = VaeTrainer(recipe.codec.new(), recipe.codec, steps=6, seed=0, batch=2)
    losses = list(trainer.train())
    assert losses[-1] < losses[0]
