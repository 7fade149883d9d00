from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lesa_framework.runtime.calls.levels import Grid
from lesa_framework.runtime.calls.readings import are_levels, is_set, readings_of
from lesa_framework.testing import pretended_device
from tests.matrix.samplers import SAMPLERS, Sampler, quiet, shipped
from tests.narrow import WithoutFloat64


def scheduler(timesteps: Any, sigmas: Any = None, trained: int | None = 1000, **more: Any) -> Any:
    config = SimpleNamespace() if trained is None else SimpleNamespace(num_train_timesteps=trained)
    return SimpleNamespace(timesteps=timesteps, sigmas=sigmas, config=config, **more)


def levels_and_told(grids: tuple[Grid, ...]) -> list[tuple[list[float], list[float]]]:
    return [
        ([round(level, 4) for level in grid.sigmas], [round(told, 4) + 0.0 for told in grid.told]) for grid in grids
    ]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (scheduler([999, 500, 1]), [([0.999, 0.5, 0.001, 0.0], [0.999, 0.5, 0.001])]),
        (scheduler([1000, 600], [1.0, 0.6, 0.0]), [([1.0, 0.6, 0.0], [1.0, 0.6])]),
        # Whole numbers for timesteps.
        (scheduler([999, 600], [1.0, 0.6009, 0.0]), [([1.0, 0.6009, 0.0], [0.999, 0.6])]),
        # Counting from 0, noise.
        (scheduler([0, 400], [0.0, 0.4, 1.0]), [([1.0, 0.6, 0.0], [1.0, 0.6])]),
        (scheduler([0.0, 0.4], [1.0, 0.6, 0.0], None), [([1.0, 0.6, 0.0], [1.0, 0.6])]),
        (scheduler([1.0, 0.4], [1.0, 0.4, 0.0], 1), [([1.0, 0.4, 0.0], [1.0, 0.4])]),
        # Where a model counts to 1, sigmas that are only like the timesteps are not the levels.
        (scheduler([1.0, 0.4], [1.0, 0.5, 0.0], 1), [([1.0, 0.4, 0.0], [1.0, 0.4])]),
        # Ratios beside timesteps, and told as they are.
        (
            scheduler([999, 500], [3.0, 1.0, 0.0]),
            [([0.999, 0.5, 0.0], [0.999, 0.5]), ([0.75, 0.5, 0.0], [0.75, 0.5])],
        ),
        (scheduler([80_000, 250], [80.0, 0.25, 0.0]), [([0.9877, 0.2, 0.0], [0.9877, 0.2])]),
        # Preconditioned: levels, or anything that falls.
        (
            scheduler([0.9, 0.5], [9.0, 1.0, 0.0]),
            [([0.9, 0.5, 0.0], [0.9, 0.5]), ([0.9, 0.5, 0.0], [0.9, 0.5])],
        ),
        (
            scheduler([1.1, -0.3], [80.0, 0.25, 0.0]),
            [([0.9877, 0.2, 0.0], [1.1, -0.3]), ([0.9877, 0.2, 0.0], [0.9877, 0.2])],
        ),
        # Angles; the last is not told.
        (scheduler([math.pi / 2, math.pi / 4, 0]), [([1.0, 0.5, 0.0], [1.0, 0.5])]),
        (scheduler([1.5708, math.pi / 4]), [([1.0, 0.5, 0.0], [1.0, 0.5])]),
        (scheduler([1.0, 0.5, 0]), [([1.0, 0.5, 0.0, 0.0], [1.0, 0.5, 0.0]), ([0.609, 0.3533, 0.0], [0.609, 0.3533])]),
        (scheduler([0]), [([0.0, 0.0], [0.0])] * 3),
        (scheduler([1.5708, 0]), [([1.0, 0.0], [1.0])]),
        # A run that begins late, and ratios that are hardly beyond 1.
        (scheduler([15, 5]), [([0.015, 0.005, 0.0], [0.015, 0.005])]),
        (
            scheduler([999, 500], [1.5, 1.0, 0.0]),
            [([0.999, 0.5, 0.0], [0.999, 0.5]), ([0.6, 0.5, 0.0], [0.6, 0.5])],
        ),
        (scheduler([10, 5]), [([0.01, 0.005, 0.0], [0.01, 0.005])]),
        # Two calls at the first level.
        (scheduler([1000, 1000, 500]), [([1.0, 1.0, 0.5, 0.0], [1.0, 1.0, 0.5])]),
        # One step, wherever it is.
        (scheduler([1], None), [([0.001, 0.0], [0.001]), ([1.0, 0.0], [1.0]), ([0.609, 0.0], [0.609])]),
        # One step of a model that counts from noise, 0, to 1.
        (scheduler([0.0], [0.0, 1.0]), [([1.0, 0.0], [1.0])] * 2),
        # Levels alone.
        (scheduler([], [1.0, 0.4, 0.0]), [([1.0, 0.4, 0.0], [1.0, 0.4])]),
    ],
    ids=str,
)  # fmt: skip
def test_the_readings_of_numbers(made, expected):
    assert levels_and_told(readings_of(made)) == expected


@pytest.mark.parametrize(
    "made",
    [
        scheduler([], []),
        scheduler([], [2.0, 1.0, 0.0]),
        scheduler([600, 800, 500]),
        scheduler([500, 500]),
        scheduler([2000, 1000]),
        scheduler([7, 6, 5, 0], None, None),
        scheduler([900, 500], [1.0, 2.0, 0.0]),
        scheduler([2000, 1000], [3.0, 1.0]),
        scheduler([-1.0, -1.5]),
        scheduler([1.5, -1.0]),
        scheduler([2.0, 1.0]),
    ],
    ids=str,
)
def test_numbers_that_are_no_noise_levels_have_no_reading(made):
    assert readings_of(made) == ()


def test_numbers_on_a_device_without_float64():
    with pretended_device() as device, WithoutFloat64():
        timesteps, sigmas = (torch.tensor(each).to(device.device) for each in ([1000.0, 600.0], [1.0, 0.6, 0.0]))
        found = readings_of(scheduler(timesteps, sigmas))
    assert levels_and_told(found) == [([1.0, 0.6, 0.0], [1.0, 0.6])]


def test_a_whole_timestep_is_told_too():
    (grid,) = readings_of(scheduler([1000, 59.6], [1.0, 0.0596, 0.0]))
    assert grid.agrees(1, 0.0596)
    assert grid.agrees(1, 0.059)
    assert not grid.agrees(1, 0.058)
    assert grid.candidates(0.059) == [1]


def test_a_model_that_counts_to_1_is_told_no_whole_numbers():
    (grid,) = readings_of(scheduler([1.0, 0.4], None, 1))[:1]
    assert not grid.agrees(1, 0.0)


def test_an_angle_beyond_a_quarter_is_no_level_beyond_1():
    (grid,) = readings_of(scheduler([1.5708, 0.5, 0]))
    assert grid.sigmas[0] == 1


def test_a_sigma_is_told_too():
    (grid,) = readings_of(scheduler([1000, 19], [1.0, 0.0196, 0.0]))
    assert grid.agrees(1, 0.0196)
    assert not grid.agrees(1, 0.0205)


@pytest.mark.parametrize(("level", "is_one"), [(0, True), (1, True), (1.000001, True), (1.1, False), (-0.1, False)])
def test_levels_are_in_0_to_1(level, is_one):
    assert are_levels([0.5, level]) is is_one


@pytest.mark.parametrize("name", sorted({sampler.name for sampler in SAMPLERS}))
def test_a_scheduler_is_set_by_set_timesteps_alone(name):
    with quiet():
        untouched = shipped()[name]()
        made, timesteps = Sampler(name).make()
    assert not is_set(untouched)
    assert is_set(made)
    assert len(timesteps) >= 7


@pytest.mark.parametrize("name", ["DDIMScheduler", "FlowMatchEulerDiscreteScheduler", "LMSDiscreteScheduler"])
def test_as_many_steps_as_in_training_are_steps(name):
    with quiet():
        made = shipped()[name]()
        made.set_timesteps(1000)
    if name == "LMSDiscreteScheduler":  # made as if it were set; it finds its step when it is used
        assert not is_set(made)
        made._step_index = 0
    assert is_set(made)


def test_a_scheduler_that_shows_nothing_is_not_set_yet():
    assert not is_set(scheduler([], []))
    assert not is_set(scheduler([], None, None))
    assert is_set(scheduler([3, 2, 1], None, None))
    assert is_set(SimpleNamespace())  # nor will it ever be
