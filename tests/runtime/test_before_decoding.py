"""Histories are freed before a pipeline decodes: that is when some models need most of their memory."""

from __future__ import annotations

import weakref

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import Filter, Reuse, Strategy
from lesa_framework.runtime.branch import BranchState
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages

CONFIG = {
    "schedule": {"kind": "fixed_interval", "interval": 4},
    "router": {"kind": "single"},
    "predictor": {"kind": "reuse"},
    "backbone": {"tap": "pre_head"},
}


class Held(lesa.Observer):
    """Knows which features are in memory; those that `reuse` predicts are in the ring."""

    def __init__(self):
        self.seen, self.alive = [], []

    def lesa_step_end(self, record, latent, feature):
        self.seen.append(weakref.ref(feature.untyped_storage()))
        self.alive.append(self.count())

    def count(self):
        return len({id(storage) for ref in self.seen if (storage := ref()) is not None})


@pytest.mark.parametrize("guidance", [1.0, 3.0], ids=["one branch", "two branches"])
@pytest.mark.parametrize("strength", [1.0, 0.5], ids=["from noise", "from a picture"])
def test_nothing_is_held_while_the_picture_is_decoded(flux, generate, monkeypatch, guidance, strength):
    watch, found, decode = Held(), [], flux.vae.decode
    changes = {"image": torch.zeros(1, 3, 16, 16), "strength": strength} if strength < 1 else {}
    if changes:
        from diffusers import FluxImg2ImgPipeline

        flux = FluxImg2ImgPipeline.from_pipe(flux)
        flux.set_progress_bar_config(disable=True)

    def decoding(*args, **kwargs):
        found.append(watch.count())
        return decode(*args, **kwargs)

    monkeypatch.setattr(flux.vae, "decode", decoding)
    with lesa.accelerate(flux, CONFIG, observers=[watch]) as session:
        generate(flux, output_type="pt", true_cfg_scale=guidance, **changes)
        assert found == [0]
        assert max(watch.alive) >= len(session.report.branches) == (2 if guidance > 1 else 1)
        assert session.report.cache_bytes > 0


class Mixes(Reuse):
    """Mixes other branches into every step, computed and predicted ones."""

    reads_latents = True

    def filter(self, entries, ctx):
        return Filter((0.75,), others=dict.fromkeys(ctx.others, (0.25,)))

    def correction(self, entries, ctx):
        return self.filter(entries, ctx)


@pytest.mark.parametrize("predictor", [Reuse(), Mixes()])
def test_no_bit_differs_from_a_run_that_keeps_them_to_its_end(flux, generate, monkeypatch, predictor):
    strategy = Strategy(ComputeSteps((0, 4, 11)), EqualStages(), predictor)
    made, sizes = [], []
    for _ in range(2):
        with lesa.attach_strategy(flux, strategy) as session:
            made.append(generate(flux))
            sizes.append(session.report.cache_bytes)
        monkeypatch.setattr(BranchState, "free", lambda branch: None)
    assert torch.equal(*made)
    assert sizes[0] == sizes[1] > 0
