"""One model: the order of runs, failures, and peers."""

from __future__ import annotations

from functools import wraps
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel

from lesa_framework import LesaError
from lesa_framework.measure.cells import Entry
from lesa_framework.measure.model_bench import ModelBench
from lesa_framework.measure.probing import Counted, WarmUp
from lesa_framework.measure.results import Kind
from lesa_framework.measure.store import Store
from tests.measure.benches import STEPS, row, timeless
from tests.progress_log import ProgressLog


def test_error_curves_begin_at_nothing_and_only_caches_and_peers_have_them(bench):
    (model,) = bench.run().models
    curve = model.details["reuse-a"].step_rel_l2
    assert curve[:2] == [0.0, 0.0], "both steps are computed, on the uncached run's latents"
    assert all(value > 0 for value in curve[2:])
    assert len(curve) == STEPS
    assert model.details["fewer_steps_4"].step_rel_l2 == []


@pytest.mark.parametrize("prober", [Counted(), WarmUp()])
def test_an_uncached_run_that_is_not_finite_ends_the_benchmark_before_any_search(bench, monkeypatch, prober):
    real = FluxTransformer2DModel.forward
    broken = wraps(real)(lambda *given, **named: (real(*given, **named)[0] * torch.nan,))
    monkeypatch.setattr(FluxTransformer2DModel, "forward", broken)
    bench.raw["peers"] = ["diffusers_taylorseer_lite"] if isinstance(prober, Counted) else []
    monkeypatch.setitem(ModelBench.__init__.__kwdefaults__, "search", lambda *_: pytest.fail("searched"))
    with pytest.raises(LesaError) as caught:
        bench.run(prober=prober)
    assert str(caught.value) == f"{bench.model}: the uncached run: the latents became NaN or infinite"


def test_methods_take_turns_and_each_begins_a_round(bench):
    log = ProgressLog()
    bench.raw["prompts"] = {"texts": ["a", "b", "c", "d", "e", "f"]}
    bench.run(log)
    rounds = [
        *("uncached", "reuse-a", "line-a", "fewer_steps_4"),
        *("uncached", "reuse-a", "fewer_steps_4", "line-a"),
        *("uncached", "fewer_steps_4", "reuse-a", "line-a"),
    ]
    assert log.order == ["uncached", "reuse-a", "line-a", "fewer_steps_4", *rounds]
    assert log.done <= log.expected * (1 + 1e-9)


def test_a_method_that_fails_says_so_in_its_row_and_the_others_continue(bench, monkeypatch):
    real = Counted.probe

    def probe(prober: Counted, subject: Any, entry: Entry, *rest: Any) -> Any:
        if entry.contender.name == "line-a":
            raise LesaError("it fell over\nbadly")
        return real(prober, subject, entry, *rest)

    monkeypatch.setattr(Counted, "probe", probe)
    results = bench.run()
    assert row(results, "line-a").error == "LesaError: it fell over badly"
    assert row(results, "line-a").psnr_db is None
    assert row(results, "reuse-a").error is None
    assert {difference.theirs for difference in results.differences} | {
        difference.ours for difference in results.differences
    } == {"reuse-a", "fewer_steps_4"}


def test_a_method_that_fails_later_is_not_run_again(bench, monkeypatch):
    real, tries = ModelBench._timed, []

    def timed(running: ModelBench, entry: Entry, *rest: Any) -> Any:
        tries.append(entry.contender.name)
        if entry.contender.name == "line-a":
            raise LesaError("no memory")
        return real(running, entry, *rest)

    monkeypatch.setattr(ModelBench, "_timed", timed)
    results = bench.run()
    assert row(results, "line-a").error == "LesaError: no memory"
    assert tries.count("line-a") == 1
    assert tries.count("reuse-a") == 2


def test_peers_are_set_to_the_same_work_and_those_that_cannot_say_so(bench, monkeypatch):
    bench.raw["peers"] = ["diffusers_taylorseer_lite", "diffusers_taylorseer", "cache_dit_dbcache"]
    monkeypatch.setattr("lesa_peers.cache_dit_dbcache.DBCache.ladders", lambda *_: 1 / 0)
    results = bench.run()
    lite = row(results, "diffusers_taylorseer_lite_4")
    assert lite.kind is Kind.PEER
    assert lite.work <= 4
    assert lite.competes
    assert lite.settings["cache_interval"] >= 2
    assert lite.psnr_db is not None
    assert lite.cache_bytes > 0
    assert lite.flops < row(results, "uncached").flops
    default = row(results, "diffusers_taylorseer_4")
    assert default.work > 4
    assert not default.competes
    assert "Cannot do as little as 4" in default.note
    assert "are whole ones" in default.note, "attention alone is skipped"
    assert "are whole ones" not in lite.note
    assert row(results, "cache_dit_dbcache_4").error == "ZeroDivisionError: division by zero"
    assert {d.theirs for d in results.differences} | {d.ours for d in results.differences} >= {lite.name}
    store = Store(bench.cells)
    assert len(store) > 0
    real = ModelBench.__init__.__kwdefaults__["search"]
    monkeypatch.setitem(
        ModelBench.__init__.__kwdefaults__,
        "search",
        lambda family, *rest: real(family, *rest) if "dit" in family.name else pytest.fail("again"),
    )
    path = bench.cells / "cells.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if '"launch"' not in line))
    again = bench.run()
    assert timeless(again) == timeless(results), "settings that an earlier start found are attached again"


def test_peers_set_to_whole_steps_are_ranked_by_them(bench):
    bench.raw["peers_by_steps"] = ["diffusers_first_block_cache"]
    results = bench.run()
    whole = row(results, "diffusers_first_block_cache_4_whole")
    plans = list(results.models[0].details[whole.name].plans.values())
    assert 1 <= sum(plan.count("F") for plan in plans) / len(plans) <= 4
    assert set("".join(plans)) <= set("F0123456789"), "its first block is never skipped"
    assert whole.work > whole.nfe >= whole.whole_steps
    assert whole.competes
    assert whole.note.startswith(
        f"Ranked by its {whole.whole_steps:g} whole steps. With what it computes in the others"
    )


def test_told_peers_compute_the_steps_of_the_schedule_and_are_ranked_by_them(bench):
    bench.raw["told_peers"] = ["cache_dit_mask_taylorseer"]
    results = bench.run()
    told = row(results, "cache_dit_mask_taylorseer-a")
    assert set(results.models[0].details[told.name].plans.values()) == {"FF33F33F"}
    assert told.settings["steps_computation_mask"] == "11001001"
    assert (told.nfe, told.whole_steps, told.schedule) == (4, 4, "a")
    assert 5 < told.work < 6, "the first of three blocks runs in the other steps, too"
    assert told.competes
    assert told.name in {each.theirs for each in results.differences} | {each.ours for each in results.differences}
    assert timeless(bench.run()) == timeless(results)


def test_where_work_is_not_counted_no_peer_can_be_matched(bench):
    bench.raw["peers"] = ["diffusers_taylorseer"]
    results = bench.run(only=("diffusers_*",), prober=WarmUp())
    assert "cannot be counted" in row(results, "diffusers_taylorseer_4").error


def test_identical_samples_are_reported(bench):
    bench.raw["schedules"] = {"all": {"kind": "always"}}
    always = row(bench.run(), "reuse-all")
    assert always.psnr_db is None
    assert not always.competes
    assert always.note.startswith("3 samples are identical to the uncached run's")
