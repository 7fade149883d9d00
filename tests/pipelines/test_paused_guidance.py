"""Guidance that a callback switches off and on again."""

from __future__ import annotations

import pytest

import lesa_framework as lesa
from tests.pipelines import videos
from tests.pipelines.case import config
from tests.pipelines.parts import run

# diffusers' schedulers call numpy on tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def guided(pipe, steps):
    """A call of Wan with guidance at these steps; it computes its negative prompt only if step 0 is one of them."""

    def switch(pipe, step, timestep, kwargs):
        pipe._guidance_scale = 5.0 if step + 1 in steps else 1.0
        return kwargs

    return run(
        pipe,
        **videos.PROMPTS,
        **videos.SIZE,
        num_inference_steps=16,
        callback_on_step_end=switch,
        callback_on_step_end_tensor_inputs=["latents"],
    )


def test_guidance_that_comes_back_in_wan_begins_with_a_computed_step():
    pipe, schedule = videos.new_wan(), {"kind": "steps", "compute": [0, 4, 8, 12]}
    pipe.set_progress_bar_config(disable=True)
    steps = {0, 1, 9, 10, 11, 12, 13, 14, 15}
    with lesa.accelerate(pipe, config(schedule)) as session:
        guided(pipe, steps)
        report = session.report
    computed = [(each.branch, each.index) for each in report.records if each.decision is lesa.Decision.COMPUTE]
    assert [index for branch, index in computed if branch == "cond"] == [0, 4, 8, 12]
    assert [index for branch, index in computed if branch == "uncond"] == [0, 9, 12]
    assert not report.fallbacks
