"""Noise levels that are close to each other, when the scheduler stands still."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lesa_framework import LesaWarning, Reuse, Strategy
from lesa_framework.runtime.calls.call import Call
from lesa_framework.runtime.calls.grid import FixedGrid, SchedulerGrid
from lesa_framework.runtime.calls.levels import NO_GRID
from lesa_framework.runtime.calls.tracking import Tracker
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, TinyPipeline, attach, even_grid
from lesa_framework.testing import sample as sample_bare
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.calls.test_tracking import branches, latent, prompt, sample


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


@pytest.mark.parametrize("second", [0.999, 0.995 - 1e-8])
def test_branches_with_latents_of_their_own_may_be_rounded_up_or_hardly_down(second):
    tracker = Tracker(FixedGrid((1.0, 0.5, 0.0)))
    found = [tracker.locate(Call(latent(), prompt(n), level)) for n, level in enumerate([0.995, second])]
    assert [position.index for position in found] == [0, 0]


def test_off_the_grid_another_level_is_another_step_though_the_latent_is_the_same():
    tracker, shared, text = Tracker(FixedGrid((1.0, 0.5, 0.0))), latent(), prompt(0)
    found = [tracker.locate(Call(shared, text, level)) for level in (1.0, 0.8, 0.7, 0.7)]
    assert [position.index for position in found] == [0, None, None, None]
    assert branches(found) == ["branch0", "branch0", "branch0", "branch1"]


def test_a_run_that_went_off_the_grid_and_back_to_its_first_step_is_a_new_one():
    config = SimpleNamespace(num_train_timesteps=1000)
    scheduler = SimpleNamespace(timesteps=[999.0, 500.0, 250.0], step_index=None, config=config)
    tracker, found = Tracker(SchedulerGrid(SimpleNamespace(scheduler=scheduler))), []
    for step, level in ((None, 0.999), (1, 0.5), (1, 0.4), (0, 0.999)):
        scheduler.step_index = step
        found.append(tracker.locate(Call(latent(), prompt(0), level)))
    assert [position.index for position in found] == [0, 1, None, 0]
    assert [position.new_run for position in found] == [True, False, False, True]


def test_a_scheduler_that_stands_still_is_not_right_for_being_right_once_by_chance():
    config = SimpleNamespace(num_train_timesteps=1000)
    scheduler = SimpleNamespace(timesteps=[999.0, 500.0, 250.0], step_index=None, config=config)
    tracker = Tracker(SchedulerGrid(SimpleNamespace(scheduler=scheduler)))
    found = sample(tracker, [prompt(0)], [0.999])
    scheduler.step_index = 1
    with pytest.warns(LesaWarning, match=r"calls came at noise levels 0\.9, 0\.3"):
        found += sample(tracker, [prompt(0)], [0.9, 0.5, 0.3])
    assert [position.index for position in found] == [0, None, 1, None]
    assert [position.new_run for position in found] == [True, False, False, True]
    assert found[-1].grid is NO_GRID


@pytest.mark.parametrize("stands_still", [False, True])
def test_steps_of_a_bfloat16_time_from_noise_to_data_are_followed_to_the_end(stands_still):
    grid = even_grid(100)
    tracker = standing(grid) if stands_still else Tracker(FixedGrid(grid))
    times = [torch.tensor([1 - level]).bfloat16() for level in grid[:-1]]
    calls = [Call(latent(), prompt(0), time, noise_level=lambda t=time: 1 - t.float(), offset=1.0) for time in times]
    found = [tracker.locate(call) for call in calls]
    assert [position.index for position in found] == [*range(100)]
    assert [position.new_run for position in found] == [True] + [False] * 99


def test_an_adapter_says_from_where_its_timesteps_count():
    class Counting(TinyDiTAdapter):
        timestep_scale, timestep_offset = -1.0, 1.0

    def call(model, latent, sigma, number):
        return model(latent, torch.tensor([1 - sigma]).bfloat16(), noise((1, 3, 4), number), return_dict=False)[0]

    model, chosen = TinyDiT(), Strategy(ComputeSteps((0, 3)), EqualStages(), Reuse())
    with attach(model, Counting(), chosen, even_grid(20)) as session:
        sample_bare(model, call, noise((1, 5, 4), 0), even_grid(20))
    assert session.report.plan() == "FPPF" + 16 * "P"
