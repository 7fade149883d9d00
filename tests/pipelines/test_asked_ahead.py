"""Computed steps that are asked at another noise level, where the sampler tells the model something else."""

from __future__ import annotations

import pytest
import torch

from lesa_framework import Reuse, Strategy, Tap, Tuning
from lesa_framework.api import attach_strategy
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from tests.pipelines.case import pipeline_of
from tests.pipelines.other_units import CASES

# diffusers' own: schedulers call numpy on tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

BY_NAME = {case.name: case for case in CASES}


class AtTheStepAfterNext(Reuse):
    """Asks each computed step but the first about the noise level two steps on."""

    looks_ahead = True

    def tuning(self, ctx):
        if not ctx.entries:
            return None
        way = ctx.sigma - ctx.sigmas[ctx.entries[0].step]
        return Tuning(ahead=torch.tensor((ctx.sigmas[ctx.index + 2] - ctx.sigma) / way))


@pytest.mark.parametrize(
    ("name", "embedding", "calls"),
    [("cosmos", "time_embed", 2), ("cosmos_2", "time_embed", 2), ("stable_audio_edm", "time_proj", 1)],
)
def test_the_model_is_told_what_the_sampler_tells_at_that_level(name, embedding, calls):
    pipe, heard = pipeline_of(BY_NAME[name]), []
    embed = getattr(pipe.transformer, embedding)
    embed.register_forward_pre_hook(lambda _, given: heard.append(float(given[-1].flatten()[0])))
    BY_NAME[name].generate(pipe)
    told = heard[::calls]
    assert len(told) == 8
    heard.clear()
    strategy = Strategy(ComputeSteps((0, 3, 5)), EqualStages(), AtTheStepAfterNext())
    with attach_strategy(pipe, strategy, tap=Tap.OUTPUT):
        BY_NAME[name].generate(pipe)
    assert heard[::calls] == pytest.approx([told[0], told[5], told[7]], abs=1e-5)
