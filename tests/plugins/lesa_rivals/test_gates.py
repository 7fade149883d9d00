"""The gates by hand, their bounds, and what they do to a run."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lesa_framework import Decision, EntryInfo, Published, Reuse, StepContext, Strategy
from lesa_framework.cli.plan import planned_steps
from lesa_framework.testing import (
    TinyDiT,
    TinyDiTAdapter,
    TinyPipeline,
    attach,
    check_schedule,
    even_grid,
)
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_rivals.easycache import EasyCache, EasyCacheConfig
from lesa_rivals.magcache import MagCache, MagCacheConfig
from lesa_rivals.teacache import TeaCache, TeaCacheConfig

GRID = even_grid(20)
#: An uneven grid.
SHIFTED = tuple(3 * sigma / (1 + 2 * sigma) for sigma in GRID)
RATIOS = (1.0, 1.2, 1.1, *[1.0] * 10, *[0.95] * 7)


@pytest.mark.parametrize(
    "config",
    [TeaCacheConfig(), TeaCacheConfig(coefficients=(2, 1, 0)), EasyCacheConfig(), MagCacheConfig(ratios=RATIOS)],
)
def test_they_keep_the_contract(config):
    check_schedule(config)


def shown(latents: dict[int, float], computed: int, grid=SHIFTED) -> StepContext:
    """A step whose latents are single numbers, the newest of them its own."""
    path = {step: torch.tensor([value]) for step, value in latents.items()}
    index = max(path)
    latent = path.pop(index)
    return StepContext(index, grid, entries=(EntryInfo(computed, True),), latent=latent, path=path)


# ---------------------------------------------------------------------------------------------- by hand
def test_teacache_adds_up_relative_changes():
    ctx = shown({4: 9.0, 5: 10.0, 6: 12.0, 7: 9.0}, computed=5)
    assert TeaCache().error(ctx, 5) == pytest.approx(2 / 10 + 3 / 12)
    assert TeaCache(0.44).decide(ctx) is Decision.COMPUTE
    assert TeaCache(0.46).decide(ctx) is Decision.PREDICT


def test_teacache_rescales_each_change():
    ctx = shown({5: 10.0, 6: 12.0, 7: 9.0}, computed=5)
    expected = sum(2 * change**2 - change + 0.5 for change in (0.2, 0.25))
    assert TeaCache(coefficients=(2, -1, 0.5)).error(ctx, 5) == pytest.approx(expected)


@pytest.mark.parametrize("before", [2, 4])
@given(velocities=st.lists(st.floats(0.5, 2), min_size=8, max_size=8))
def test_easycache_is_the_papers_sum_with_eulers_steps(before, velocities):
    latents = {before: 1.0}
    for step in range(before, 8):
        latents[step + 1] = latents[step] + (SHIFTED[step + 1] - SHIFTED[step]) * velocities[step]
    # 5 is the newest computed step, `before` the one before it; what lies between them is predicted.
    rate = abs(velocities[5] - velocities[before]) / abs(latents[5] - latents[before])
    changes = [abs(later - earlier) for earlier, later in pairwise([latents[step] for step in (5, 6, 7, 8)])]
    expected = sum(rate * change / velocity for change, velocity in zip(changes, velocities[5:8], strict=True))
    assert EasyCache().error(shown(latents, computed=5), 5) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_magcache_multiplies_ratios():
    ratios = [1.0] * 20
    ratios[6:9] = 1.1, 0.8, 1.3
    expected = abs(1 - 1.1) + abs(1 - 1.1 * 0.8) + abs(1 - 1.1 * 0.8 * 1.3)
    assert MagCache(ratios).error(StepContext(8, GRID), 5) == pytest.approx(expected)


def test_magcache_takes_the_nearest_ratio_in_another_run():
    assert MagCache([1.0, 2.0, 3.0]).error(StepContext(4, even_grid(5)), 3) == pytest.approx(2.0)
    assert MagCache([1.0, 2.0, 3.0]).error(StepContext(1, even_grid(5)), 0) == pytest.approx(0.0)
    assert MagCache([1.0, 2.0]).error(StepContext(0, even_grid(1)), 0) == 0.0


# ---------------------------------------------------------------------------------------------- bounds
@pytest.mark.parametrize("gate", [TeaCache(1e9), EasyCache(1e9, warmup=1)])
@pytest.mark.parametrize("latents", [{8: 1.0}, {6: 1.0, 7: math.nan, 8: 1.0}, {6: 0.0, 7: 0.0, 8: 0.0}])
def test_what_cannot_be_told_is_computed(gate, latents):
    assert math.isnan(gate.error(shown(latents, computed=7), 7))
    assert gate.decide(shown(latents, computed=7)) is Decision.COMPUTE


@pytest.mark.parametrize("twice", [7, 8])
def test_easycache_computes_where_a_noise_level_comes_twice(twice):
    ctx = shown({6: 1.0, 7: 2.0, 8: 3.0}, computed=7)
    sigmas = list(ctx.sigmas)
    sigmas[twice] = sigmas[twice - 1]
    ctx = replace(ctx, sigmas=tuple(sigmas))
    assert math.isnan(EasyCache(1e9, warmup=1).error(ctx, 7))


def run(schedule, guidance=1.0, steps=20) -> str:
    model = TinyDiT()
    pipe = TinyPipeline(model)
    with attach(model, TinyDiTAdapter(), Strategy(schedule, EqualStages(), Reuse()), even_grid(steps)) as session:
        pipe(num_inference_steps=steps, guidance=guidance)
        return session.report.plan()


@pytest.mark.parametrize(
    "make",
    [
        lambda limit: TeaCache(1e9, warmup=2, max_predicted=limit),
        lambda limit: EasyCache(1e9, warmup=2, max_predicted=limit),
        lambda limit: MagCache([1.0] * 20, 1e9, retention=0.1, max_predicted=limit),
    ],
)
def test_first_and_last_steps_are_computed_and_never_too_many_predicted(make):
    assert run(make(4)) == "FFPPPPFPPPPFPPPPFPPF"
    assert run(make(30)) == "FF" + 17 * "P" + "F"


@pytest.mark.parametrize("gate", [TeaCache, lambda threshold, **more: EasyCache(threshold, warmup=2, **more)])
def test_a_higher_threshold_computes_fewer_steps(gate):
    counts = [run(gate(threshold, max_predicted=30)).count("F") for threshold in (1e-9, 0.05, 0.1, 0.2, 0.4, 1e9)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 20
    assert len(set(counts)) >= 4
    assert counts[-1] <= 3


def test_the_thresholds_of_magcache():
    counts = [run(MagCache(RATIOS, threshold, 0.1, 30)).count("F") for threshold in (1e-9, 0.06, 0.3, 1.0, 1e9)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 3
    assert len(set(counts)) >= 4


# ---------------------------------------------------------------------------------------------- plans
def test_plans_say_what_depends_on_data():
    for gate in (TeaCache(), EasyCache()):
        letters = [row.decision for row in planned_steps(Strategy(gate, EqualStages(), Reuse()), GRID)]
        assert letters[0] is Decision.COMPUTE
        assert set(letters[1:]) == {None}


def test_the_plan_of_magcache_is_what_it_does():
    planned = planned_steps(Strategy(MagCache(RATIOS), EqualStages(), Reuse()), GRID)
    assert "".join("F" if row.decision is Decision.COMPUTE else "P" for row in planned) == run(MagCache(RATIOS))


def test_other_schedules_have_no_path():
    assert run(ComputeSteps([0, 5, 10])) == "FPPPPFPPPPFPPPPPPPPP"


@pytest.mark.parametrize(
    ("coefficients", "never_below"),
    [
        ("498.651651 -283.781631 55.8554382 -3.82021401 0.264230861", "0.18"),  # published for FLUX
        ("0 0 0 1 0.1", "0.1"),
        ("0 0 0 1 0", None),
        ("0 0 1 -1 0.3", None),  # below in the middle alone
        ("1e308 1e308 1e308 1e308 -1e308", None),
    ],
)
def test_an_imported_polynomial_says_what_the_threshold_makes_of_it(coefficients, never_below):
    note = TeaCacheConfig.read_published(Published(coefficients, "poly")).note
    assert note.startswith("schedule.threshold stays 0.1, which is ours for changes that nothing rescales.")
    assert ("every step is computed" in note) == (never_below is not None)
    if never_below:
        assert f"never below about {never_below}:" in note
        numbers = tuple(float(number) for number in coefficients.split())
        gate = TeaCache(coefficients=numbers)
        for change in (0.0, 0.11, 0.5, 1.0):
            entries = (EntryInfo(1, True),)
            latents = {1: torch.ones(4)}
            ctx = StepContext(2, GRID, entries=entries, path=latents, latent=(1 + change) * torch.ones(4))
            assert gate.decide(ctx) is Decision.COMPUTE
