"""Models without data, made like others."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL

from lesa_framework.sizing.meter import Meter
from lesa_framework.sizing.twins import twin_of


def test_a_twin_has_what_methods_have_switched_on():
    vae = AutoencoderKL()
    vae.enable_tiling()
    vae.enable_slicing()
    vae.tile_latent_min_size, vae.tile_overlap_factor = 8, 0.5
    twin = twin_of(vae)
    assert (twin.use_tiling, twin.use_slicing) == (True, True)
    assert (twin.tile_latent_min_size, twin.tile_overlap_factor) == (8, 0.5)
    assert {weight.device.type for weight in twin.parameters()} == {"meta"}
    assert vae.training
    assert not twin.training


def test_a_decoder_that_works_sample_by_sample_needs_less():
    vae = AutoencoderKL()

    def needed():
        twin = twin_of(vae)
        with torch.no_grad(), Meter() as meter:
            twin.decode(torch.empty(4, vae.config.latent_channels, 16, 16, device="meta"))
        return meter.most

    whole = needed()
    vae.enable_slicing()
    assert needed() < whole / 3
