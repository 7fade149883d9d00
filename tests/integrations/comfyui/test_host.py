"""What is read from ComfyUI's calls."""

from __future__ import annotations

import warnings

import pytest
import torch

import lesa_framework as lesa
from tests.integrations.comfyui import contract, package

GRID = (1.0, 0.75, 0.5, 0.25, 0.0)

contract_alone = pytest.mark.parametrize("world", [contract], indirect=True, ids=["contract"])


@pytest.fixture
def make(world):
    return package.part(world.package, "host").SamplerHost


def arguments(level, kinds=(1, 0), uuids=("n", "p")):
    told = {"sigmas": torch.tensor([level, level]), "cond_or_uncond": list(kinds), "uuids": list(uuids)}
    return {"x": torch.zeros(2), "transformer_options": told}


@contract_alone
def test_a_call_is_told_by_its_noise_level_and_its_prompts(make):
    told = make(GRID, {})(arguments(0.75))
    assert (told.sigmas, told.index, told.branches, told.sequence) == (
        GRID,
        1,
        ("uncond", "cond"),
        ("cond", "uncond"),
    )


@contract_alone
@pytest.mark.parametrize(
    ("level", "step"), [(1.0, 0), (0.25, 3), (0.250001, 3), (0.26, None), (0.625, None), (0.0, None)]
)
def test_a_level_between_those_of_the_grid_has_no_step(make, level, step):
    assert make(GRID, {})(arguments(level)).index == step


@contract_alone
def test_levels_that_are_close_together_are_told_apart(make):
    grid = (1.0, 0.99998, 0.99996, 0.0)
    host = make(grid, {})
    assert [host(arguments(level)).index for level in (*grid[:3], 0.99999)] == [0, 1, 2, None]


@contract_alone
def test_prompts_with_the_same_sign_are_branches_of_their_own(make):
    host = make(GRID, {})
    assert host(arguments(1.0, (1, 0, 0), ("n", "right", "left"))).branches == ("uncond", "cond", "cond.2")
    assert host(arguments(0.75, (0,), ("left",))).branches == ("cond.2",)
    assert host(arguments(0.75, (2, 0), ("middle", "right"))).branches == ("cond2", "cond")


@contract_alone
@pytest.mark.parametrize(
    ("sigmas", "options", "words"),
    [
        ((14.6, 3.0, 0.0), {}, "14.6 to 0, are not between 1 and 0"),
        ((1.0, 0.5, 0.6, 0.0), {}, "do not fall from step to step"),
        ((1.0, 0.5, 0.5, 0.0), {}, "do not fall from step to step"),
        ((1.0,), {}, "do not fall from step to step"),
        (GRID, {"context_handler": object()}, "context windows"),
        (GRID, {"multigpu_clones": {"cuda:1": object()}}, "several GPUs"),
    ],
    ids=["ratios", "rising", "repeated", "one", "context windows", "GPUs"],
)
def test_a_run_that_cannot_be_cached_is_computed_and_a_warning_says_why(make, sigmas, options, words):
    with pytest.warns(lesa.LesaWarning, match=words):
        host = make(sigmas, options)
    assert host(arguments(1.0)).sigmas == ()


@contract_alone
@pytest.mark.parametrize("sigmas", [GRID, (0.6, 0.3, 0.0), (1.0, 0.6, 0.3)], ids=["whole", "its end", "its beginning"])
def test_a_run_that_can_be_cached_warns_of_nothing(make, sigmas):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        host = make(sigmas, {"context_handler": None})
    assert host(arguments(sigmas[1])).index == 1


def test_levels_that_rise_are_computed(world):
    patcher = world.model("flux")
    noise, sigmas = world.noise("flux"), torch.tensor([1.0, 0.5, 0.7, 0.3, 0.0])
    plain = world.sample(patcher, noise, sigmas)
    config = lesa.load_config({"schedule": {"kind": "even", "speedup": 2}, "predictor": {"kind": "reuse"}})
    source = package.part(world.package, "source").Chosen(config, lesa.build_strategy(config))
    cached, runs = package.part(world.package, "cache").put(patcher, source, world.where)
    with pytest.warns(lesa.LesaWarning, match="do not fall"):
        result = world.sample(cached, noise, sigmas)
    assert torch.equal(result, plain)
    assert "fell back to computing" in runs.text()
