"""How close latents are."""

from __future__ import annotations

import torch

from lesa_framework.training import closeness_db, drift_db


def test_closeness_is_minus_ten_times_the_logarithm_of_the_mean_squared_distance():
    reference = torch.zeros(3, 2, 4)
    latents = torch.stack([torch.full((2, 4), value) for value in (1.0, 0.1, 10.0)])
    torch.testing.assert_close(closeness_db(latents, reference), torch.tensor([0.0, 20.0, -20.0]))
    assert drift_db([latents], [reference]) == 0.0


def test_the_same_latents_and_lost_ones_are_at_the_ends():
    reference = torch.ones(4, 3)
    latents = torch.stack([torch.full((3,), value) for value in (1.0, float("nan"), float("inf"), 1e30)])
    assert closeness_db(latents, reference).tolist() == [200.0, -100.0, -100.0, -100.0]


def test_of_several_the_lost_one_is_never_the_closest():
    lost, near = torch.full((1, 2), float("nan")), torch.full((1, 2), 1e4)
    assert drift_db([lost], [torch.zeros(1, 2)]) < drift_db([near], [torch.zeros(1, 2)])


def test_bfloat16_does_not_round_decibels():
    """Its own numbers are an eighth of a decibel apart there, and which weights are the best is decided by less."""
    reference, noise = torch.zeros(1, 4096), torch.randn(1, 4096, generator=torch.Generator().manual_seed(0))
    found = []
    for size in (0.1000, 0.0995):
        latents = (size * noise).bfloat16()
        found.append(closeness_db(latents, reference.bfloat16()))
        torch.testing.assert_close(found[-1], closeness_db(latents.float(), reference))
    assert 0.02 < float(found[1] - found[0]) < 0.07
