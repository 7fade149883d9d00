"""Which methods are measured, and what is refused before anything runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lesa_framework import ConfigError, load_config
from lesa_framework.generation import GenerationSettings
from lesa_framework.measure.lineup import caches, line_up, planned, planned_steps, uncached
from lesa_framework.measure.matching import Measure
from lesa_framework.measure.results import Kind
from lesa_framework.measure.spec import BenchSpec, ModelEntry
from lesa_framework.types import RunInfo, Tap
from tests.measure.benches import CALL, STEPS
from tests.pipelines import worded
from tests.pipelines.videos import SIZE

SETTINGS = GenerationSettings(num_steps=STEPS, call=CALL)


def config(name: str, **schedule: Any) -> Any:
    chosen = schedule or {"kind": "fixed_interval", "interval": 3, "warmup": 2}
    raw = {"schedule": chosen, "predictor": {"kind": "reuse"}}
    return load_config(raw).model_copy(update={"name": name})


def spec(**asked: Any) -> BenchSpec:
    return BenchSpec(models={"m": ModelEntry()}, **asked)


def test_caches_compete_at_what_their_schedules_compute(flux):
    (found,) = planned(flux, caches([(config("a"), "every third")], STEPS), SETTINGS)
    assert (found.name, found.nfe, found.num_steps, found.family) == ("a", 4, STEPS, "reuse")
    assert found.schedule == "every third"


def test_transformers_that_take_turns_compute_what_each_one_s_history_asks_for():
    pipe, settings = worded.wan(), GenerationSettings(num_steps=STEPS, call=SIZE)
    raw = {"schedule": {"kind": "steps", "compute": [0, 3]}, "predictor": {"kind": "taylorseer", "order": 1}}
    (found,) = planned(pipe, caches([(load_config(raw), "")], STEPS), settings)
    with found.attached(pipe) as session:
        pipe(["a"], num_inference_steps=STEPS, output_type="latent", **SIZE)
    assert session.report.plan() == "FPPF"
    assert session.report.plan("cond (transformer_2)") == "FPPP"  # step 4, which the schedule does not name
    assert (found.nfe, found.steps) == (session.report.nfe, (0, 3, 4)) == (3, (0, 3, 4))
    gate = config("gate", kind="teacache", threshold=0.1, coefficients=[1.0, 0.0])
    (found,) = planned(pipe, caches([(gate, "")], STEPS), settings)
    assert (found.nfe, found.steps) == (None, None)


def test_errors_begin_with_the_configurations_name(flux):
    late = config("late", kind="steps", compute=[0, 30])
    with pytest.raises(ConfigError, match=r"^late: schedule\.compute: step 30"):
        planned(flux, caches([(late, "")], STEPS), SETTINGS)


def test_too_few_steps_for_the_history_are_refused():
    (method,) = caches([(config("a"), "")], STEPS)
    with pytest.raises(ConfigError, match="at least 2 steps"):
        planned_steps(method.strategy, RunInfo((1.0, 0.0), "flux", Tap.PRE_HEAD))


def test_peers_beside_gates_alone_need_an_nfe():
    gate = replace(uncached(8), name="gate", kind=Kind.CACHE, nfe=None)
    with pytest.raises(ConfigError, match="no NFE to match them to"):
        line_up([gate], 8, spec(peers=["diffusers_magcache"]))
    assert "diffusers_magcache_4" in [
        row.name for row in line_up([gate], 8, spec(nfe=[4], peers=["diffusers_magcache"]))
    ]


def test_plain_runs_and_peers_stand_at_every_nfe():
    rows = line_up(
        [], 8, spec(nfe=[2, 4], peers=["diffusers_magcache"], peers_by_steps=["diffusers_first_block_cache"])
    )
    assert [(row.name, row.nfe, row.num_steps) for row in rows] == [
        ("uncached", 8, 8),
        ("fewer_steps_4", 4, 4),
        ("fewer_steps_2", 2, 2),
        ("diffusers_magcache_4", 4, 8),
        ("diffusers_magcache_2", 2, 8),
        ("diffusers_first_block_cache_4_whole", 4, 8),
        ("diffusers_first_block_cache_2_whole", 2, 8),
    ]
    assert {row.measure for row in rows[5:]} == {Measure.STEPS}


def test_other_samplers_make_plain_runs_at_every_nfe():
    rows = line_up([], 8, spec(nfe=[2, 4], samplers=["unipc2"]))
    assert [(row.name, row.kind, row.family, row.num_steps) for row in rows[3:]] == [
        ("unipc2_4", Kind.FEWER_STEPS, "unipc2", 4),
        ("unipc2_2", Kind.FEWER_STEPS, "unipc2", 2),
    ]


def cache(name: str, schedule: str, *steps: int) -> Any:
    return replace(uncached(8), name=name, kind=Kind.CACHE, schedule=schedule, nfe=len(steps), steps=steps)


def test_told_peers_get_the_steps_of_each_schedule_once():
    methods = [
        cache("reuse-even", "even", 0, 4),
        cache("line-even", "even", 0, 1, 4),  # its history is short, so it computes one step more
        cache("reuse-late", "late", 0, 1, 2),
        cache("preset-of-even", "", 0, 4),
        cache("preset", "", 0, 6),
        replace(cache("gate", "gated"), nfe=None, steps=None),
    ]
    rows = [row for row in line_up(methods, 8, spec(told_peers=["cache_dit_mask"])) if row.kind is Kind.PEER]
    assert [(row.name, row.schedule, row.nfe, row.steps) for row in rows] == [
        ("cache_dit_mask-even", "even", 2, (0, 4)),
        ("cache_dit_mask-late", "late", 3, (0, 1, 2)),
        ("cache_dit_mask-preset", "preset", 2, (0, 6)),
    ]
    assert {row.measure for row in rows} == {Measure.STEPS}


def test_peers_that_nothing_can_be_told_are_an_error():
    gate = replace(uncached(8), name="gate", kind=Kind.CACHE, nfe=None)
    with pytest.raises(ConfigError, match="told_peers: no cache of this model has steps that are known beforehand"):
        line_up([gate], 8, spec(nfe=[4], told_peers=["cache_dit_mask"]))


def test_two_rows_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="2 rows are called 'uncached'"):
        line_up([uncached(8)], 8, spec())


def test_each_configuration_names_its_row():
    with pytest.raises(ConfigError, match="more than one is called 'a'"):
        caches([(config("a"), ""), (config("a"), "")], STEPS)
    with pytest.raises(ConfigError, match="'uncached' is the name of a row of its own"):
        caches([(config("uncached"), "")], STEPS)


def test_nothing_to_compare_is_refused():
    with pytest.raises(ConfigError, match="nothing to compare"):
        line_up([], 8, spec())


def test_a_plain_run_attaches_nothing(flux):
    before = dict(flux.transformer.__dict__)
    with uncached(8).attached(flux) as session:
        assert session is None
        assert flux.transformer.__dict__ == before
