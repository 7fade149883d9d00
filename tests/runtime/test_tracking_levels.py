"""Noise levels that are close to each other, when the scheduler stands still."""

from __future__ import annotations

import torch

from lesa_framework.runtime.calls import Call
from lesa_framework.runtime.grid import SchedulerGrid
from lesa_framework.runtime.tracking import Tracker
from lesa_framework.testing import TinyDiT, TinyPipeline
from tests.runtime.test_tracking import branches, latent, prompt, sample


def standing(levels: tuple[float, ...]) -> Tracker:
    """A tracker whose scheduler was set, and does not step."""
    pipe = TinyPipeline(TinyDiT())
    pipe.scheduler.set_timesteps(len(levels) - 1)
    pipe.scheduler.sigmas = torch.tensor(levels)
    return Tracker(SchedulerGrid(pipe))


def test_levels_within_rounding_of_each_other_are_steps_when_the_scheduler_stands_still():
    tracker = standing((1.0, 0.999, 0.998, 0.5, 0.0))
    found = sample(tracker, [prompt(0), prompt(1)], [1.0, 0.999, 0.998, 0.5])
    assert [position.index for position in found] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert branches(found) == ["branch0", "branch1"] * 4


def test_a_level_beyond_a_step_is_not_that_step_again():
    found = sample(standing((1.0, 0.5, 0.0)), [prompt(0)], [1.0, 0.995, 0.5])
    assert [position.index for position in found] == [0, None, 1]
    assert branches(found) == ["branch0"] * 3


def test_branches_whose_levels_are_rounded_apart_share_a_step():
    tracker, shared = standing((1.0, 0.5, 0.0)), latent()
    found = [tracker.locate(Call(shared, prompt(number), level)) for number, level in enumerate([1.0, 0.996])]
    assert [position.index for position in found] == [0, 0]
