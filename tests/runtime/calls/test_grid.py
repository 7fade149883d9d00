from __future__ import annotations

import math
from types import SimpleNamespace

import diffusers
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lesa_framework import ConfigError, UnsupportedBackboneError
from lesa_framework.runtime.calls.grid import FixedGrid, SchedulerGrid
from lesa_framework.runtime.calls.levels import NO_GRID, Grid
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, TinyPipeline, TinyScheduler, even_grid


@given(steps=st.integers(1, 60), shift=st.floats(1, 5), data=st.data())
def test_bfloat16_timesteps_find_their_step(steps, shift, data):
    scheduler = TinyScheduler(shift)
    scheduler.set_timesteps(steps)
    grid = Grid(tuple(scheduler.sigmas.tolist()))
    index = data.draw(st.integers(0, steps - 1))
    sigma = float(scheduler.sigmas[index].to(torch.bfloat16))
    assert grid.agrees(index, sigma)
    assert grid.locate(sigma) is not None


@pytest.mark.parametrize("index", range(50))
def test_flux_grids_of_50_steps_are_told_apart_in_bfloat16(index):
    scheduler = TinyScheduler(shift=3.0)
    scheduler.set_timesteps(50)
    assert Grid(tuple(scheduler.sigmas.tolist())).locate(float(scheduler.sigmas[index].bfloat16())) == index


class Counting(TinyDiTAdapter):
    """Timesteps from 0, noise, to 1."""

    timestep_scale, timestep_offset = -1.0, 1.0


@pytest.mark.parametrize("steps", [20, 50, 100])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_bfloat16_time_from_noise_to_data_finds_its_step(steps, shift):
    scheduler = TinyScheduler(shift)
    scheduler.set_timesteps(steps)
    times = (1 - scheduler.sigmas[:-1]).bfloat16()
    levels = [float(Counting().noise_level({"timestep": time})) for time in times]
    grid = Grid(tuple(scheduler.sigmas.tolist()))
    assert [grid.locate(level, Counting.timestep_offset) for level in levels] == [*range(steps)]
    assert all(grid.agrees(index, level, Counting.timestep_offset) for index, level in enumerate(levels))


@pytest.mark.parametrize("sigma", [0.97, 1.5, -0.2, 0.0, float("nan")])
def test_a_level_off_the_grid_has_no_step(sigma):
    assert Grid(even_grid(10)).locate(sigma) is None


def test_an_empty_grid_has_no_steps():
    assert Grid(()).locate(0.5) is None
    assert Grid((0.0,)).locate(0.0) is None


def test_a_fixed_grid_stays_the_same_object_and_knows_no_step():
    source = FixedGrid([1, 0.5, 0])
    assert source.current() is source.current()
    assert source.current()[0].sigmas == (1.0, 0.5, 0.0)
    assert source.hint() is None


def test_a_schedulers_grid_changes_when_it_makes_itself_one():
    pipe = TinyPipeline(TinyDiT())
    source = SchedulerGrid(pipe)
    pipe.scheduler.set_timesteps(4)
    first = source.current()
    assert source.current() is first
    assert first[0].sigmas == pytest.approx(even_grid(4))
    pipe.scheduler.set_timesteps(4)
    assert source.current() is not first


def test_an_exchanged_scheduler_is_followed():
    pipe = TinyPipeline(TinyDiT())
    source = SchedulerGrid(pipe)
    pipe.scheduler.set_timesteps(4)
    first = source.current()
    pipe.scheduler = TinyScheduler(shift=3.0)
    pipe.scheduler.set_timesteps(4)
    assert source.current() is not first
    assert source.current()[0].sigmas[1] == pytest.approx(0.9)


def test_the_schedulers_step_is_the_hint():
    pipe = TinyPipeline(TinyDiT())
    source = SchedulerGrid(pipe)
    pipe.scheduler.set_timesteps(4)
    assert source.hint() is None
    pipe.scheduler.set_begin_index(2)
    assert source.hint() == 2
    pipe.scheduler.step(torch.zeros(1), torch.zeros(1))
    assert source.hint() == 3


@pytest.mark.parametrize(
    ("sigmas", "heun", "thousand"),
    [
        ([0.0, 0.5, 1.0], False, False),
        ([1.0, math.nan, 0.0], False, False),
        ([1.0, 0.5, -0.1], False, False),
        ([1000, 500, 0], False, True),
        ([1.5, 0.5, 0], False, True),
        ([1.0, 0.5, 0.5, 0.0], True, False),
        ([1000, 500, 500, 0], True, True),
    ],
)
def test_a_fixed_grid_takes_strictly_falling_noise_levels_only(sigmas, heun, thousand):
    with pytest.raises(ConfigError, match="noise levels fall strictly, from at most 1") as raised:
        FixedGrid(sigmas)
    assert ("comes twice" in str(raised.value), "Heun" in str(raised.value)) == (heun, heun)
    assert ("divided by 1000" in str(raised.value)) is thousand


def test_a_scheduler_without_noise_levels_is_refused_by_name():
    pipe = TinyPipeline(TinyDiT())
    del pipe.scheduler.sigmas
    with pytest.raises(UnsupportedBackboneError, match=r"TinyScheduler: it has no noise levels"):
        SchedulerGrid(pipe).current()


@pytest.mark.parametrize("rounded", [torch.float32, torch.bfloat16])
def test_a_rounded_level_tells_the_reading_too(rounded):
    scheduler = diffusers.SCMScheduler()
    scheduler.set_timesteps(8, intermediate_timesteps=None)
    scheduler.set_begin_index(1)
    angle = scheduler.timesteps[1]
    level = angle.sin() / (angle.sin() + angle.cos())
    grid = SchedulerGrid(SimpleNamespace(scheduler=scheduler)).choose(float(level.to(rounded)))
    assert grid.sigmas[1] == pytest.approx(float(level), abs=1e-6)


@pytest.mark.parametrize("rounded", [torch.float32, torch.bfloat16])
def test_a_rounded_level_tells_the_second_reading(rounded):
    scheduler = diffusers.EDMEulerScheduler()
    scheduler.set_timesteps(8)
    scheduler.set_begin_index(1)
    sigma = scheduler.sigmas[1]
    grid = SchedulerGrid(SimpleNamespace(scheduler=scheduler)).choose(float((sigma / (1 + sigma)).to(rounded)))
    assert grid.told[1] == pytest.approx(float(sigma / (1 + sigma)))


def numbered(timesteps, **more):
    """A scheduler without sigmas, which its pipeline owns."""
    config = SimpleNamespace(num_train_timesteps=1000)
    return SimpleNamespace(scheduler=SimpleNamespace(timesteps=timesteps, config=config, **more))


def test_the_same_timesteps_made_anew_within_one_call_are_the_same_grid():
    owner = numbered([999.0, 500.0])
    source, of_many_calls = SchedulerGrid(owner, is_one_call=True), SchedulerGrid(owner)
    first, other = source.current(), of_many_calls.current()
    owner.scheduler.timesteps = [999.0, 500.0]
    assert source.current() is first
    assert of_many_calls.current() is not other
    owner.scheduler.timesteps = [999.0, 400.0]
    assert source.current() is not first


def test_timesteps_made_anew_are_another_run_where_the_scheduler_counts_its_steps():
    owner = numbered([999.0, 500.0], step_index=None)
    source = SchedulerGrid(owner, is_one_call=True)
    first = source.current()
    owner.scheduler.timesteps = [999.0, 500.0]
    assert source.current() is not first


@pytest.mark.parametrize(("step", "begin"), [(1, None), (1, 0), (2, 1), (0, 1)])
def test_a_call_elsewhere_is_not_of_a_scheduler_that_has_stepped(step, begin):
    source = SchedulerGrid(numbered([999.0, 500.0, 1.0], step_index=step, begin_index=begin))
    assert source.choose(0.77) is NO_GRID


@pytest.mark.parametrize(
    ("step", "begin", "says"),
    [
        (None, None, "0.999"),
        (None, 1, "0.5"),
        (0, None, "0.999"),
        (0, 0, "0.999"),
        (2, 2, "0.001"),
        (None, 3, "no step at all"),
    ],
)
def test_a_first_call_elsewhere_is_refused_with_what_the_scheduler_says(step, begin, says):
    source = SchedulerGrid(numbered([999.0, 500.0, 1.0], step_index=step, begin_index=begin))
    with pytest.raises(UnsupportedBackboneError, match=rf"at noise level 0\.77, but the scheduler says {says}\. Use"):
        source.choose(0.77)


@pytest.mark.parametrize("sigmas", ["abc", ["a", "b"], 5, [1, 0.5, None], [[1.0], "x"]])
def test_what_is_no_list_of_numbers_is_no_grid(sigmas):
    with pytest.raises(ConfigError, match=r"^sigmas: .* is no list of noise levels\. Give numbers"):
        FixedGrid(sigmas)


def test_a_grid_may_come_from_anything_that_yields_numbers():
    assert FixedGrid(level / 4 for level in range(4, -1, -1)).current()[0].sigmas == (1.0, 0.75, 0.5, 0.25, 0.0)
