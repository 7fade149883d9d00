"""Peers on a model that has learnt something, where steps are alike and gates have something to decide."""

from __future__ import annotations

import pytest
import torch

from lesa_framework.generation import GenerationSettings, generate_batch
from lesa_framework.measure.counting import workload_of
from lesa_framework.measure.matching import Measure, match
from lesa_framework.pipelines import find_model
from lesa_metrics.closeness import Psnr
from lesa_peers.plugin import FAMILIES as ALL
from tests.measured import measured

STEPS = 20
FAMILIES = {family.name: family for family in ALL}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "measure"),
    [("diffusers_taylorseer_lite", Measure.FLOPS), ("cache_dit_dbcache_taylorseer", Measure.STEPS)],
)
def test_peers_are_matched_at_a_quarter_of_the_work_and_their_pictures_are_alike(name, measure, reference_flux):
    settings = GenerationSettings(num_steps=STEPS, call=find_model("reference:flux").named.call)
    images = []

    def run():
        images.append(generate_batch(reference_flux, ["a red ring"], [0], settings).images)

    found = match(FAMILIES[name], reference_flux, workload_of(reference_flux, STEPS, run), 5, measure)
    assert found.reached, found
    assert 4 <= measure.of(found.chosen.work) <= 5
    with found.chosen.peer.attach(reference_flux):
        run()
    (psnr,) = measured(Psnr().load("cpu"), images[-1], images[0], ["a red ring"])
    assert 10 < psnr < 60
    run()
    assert torch.equal(images[-1], images[0])
