"""Whole benchmarks of a tiny pipeline: a few seconds for all of them together."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import lesa_framework as lesa
from lesa_framework import ConfigError, LesaError
from lesa_framework.generation import generate_batch
from lesa_framework.measure import model_bench
from lesa_framework.measure.results import BenchResults, BenchRow, Kind
from lesa_framework.measure.runner import run_bench
from lesa_framework.measure.spec import load_spec
from lesa_framework.measure.store import Store
from lesa_framework.measure.tasks import tasks_of
from lesa_framework.pipelines import load_pipeline
from tests.progress_log import ProgressLog

CALL = {"height": 16, "width": 16, "max_sequence_length": 8, "negative_prompt": "", "true_cfg_scale": 3.0}
STEPS = 8
PROMPTS = ["a red ring", "a blue star", "a dot"]


class Bench:
    """A benchmark's file in a folder, and what runs it."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.path, self.cells, self.model = folder / "bench.yaml", folder / "cells", str(model)
        self.raw: dict[str, Any] = {
            "steps": STEPS,
            "batch": 2,
            "images": 2,
            "prompts": {"texts": PROMPTS},
            "seeds": [5],
            "schedules": {"a": {"kind": "fixed_interval", "interval": 3, "warmup": 2}},
            "methods": {
                "reuse": {"predictor": {"kind": "reuse"}},
                "line": {"predictor": {"kind": "taylorseer", "order": 1}},
            },
            "models": {self.model: {"call": CALL}},
        }

    def run(self, log: ProgressLog | None = None, only: tuple[str, ...] = ()) -> BenchResults:
        self.path.write_text(yaml.safe_dump(self.raw, sort_keys=False))
        file = load_spec(self.path)
        watcher = log or ProgressLog()
        return run_bench(
            file, tasks_of(file), Store(self.cells), lambda _: nullcontext(watcher), only=only, device="cpu"
        )


@pytest.fixture
def bench(tmp_path, flux_folder):
    return Bench(tmp_path, flux_folder)


def row(results: BenchResults, name: str) -> BenchRow:
    return next(each for each in results.rows if each.name == name)


def timeless(results: BenchResults) -> dict[str, Any]:
    """Everything but what a clock said."""
    content = results.model_dump(mode="json")
    for each in content["rows"]:
        each["seconds"] = each["speedup"] = None
    for model in content["models"]:
        for details in model["details"].values():
            details["seconds"] = len(details["seconds"])
    return content


def test_methods_by_schedules_with_plain_runs_beside_them(bench):
    bench.raw["schedules"]["b"] = {"kind": "steps", "compute": [0, 4]}
    results = bench.run()
    assert [(each.name, each.kind, each.target_nfe, each.nfe) for each in results.rows] == [
        ("uncached", "uncached", 8, 8),
        ("reuse-a", "cache", 4, 4),
        ("line-a", "cache", 4, 4),
        ("reuse-b", "cache", 2, 2),
        ("line-b", "cache", 2, 2),
        ("fewer_steps_4", "fewer_steps", 4, 4),
        ("fewer_steps_2", "fewer_steps", 2, 2),
    ]
    assert [row(results, "line-b").schedule, row(results, "line-b").family] == ["b", "taylorseer"]
    (found,) = results.models
    assert found.details["reuse-a"].plans == {"cond": "FFPPFPPF", "uncond": "FFPPFPPF"}
    assert {name: len(images) for name, images in found.images.items()} == {each.name: 2 for each in results.rows}
    assert "interval: 3" in found.sources["line-a"].config
    assert found.sources["line-a"].command.endswith(f"--only {bench.model}/line-a")
    assert BenchResults.model_validate_json(results.model_dump_json()) == results


def test_numbers_agree_with_a_measurement_made_by_hand(bench):
    found = bench.run()
    pipe = load_pipeline(bench.model, device="cpu")
    config = {"schedule": bench.raw["schedules"]["a"], **bench.raw["methods"]["line"]}

    def pictures(**arguments: Any) -> np.ndarray:
        generators = [torch.Generator().manual_seed(5) for _ in PROMPTS[:2]]
        call = {**CALL, "negative_prompt": ["", ""], "num_inference_steps": STEPS, **arguments}
        return np.asarray(pipe(PROMPTS[:2], generator=generators, output_type="np", **call).images, dtype=np.float64)

    reference = pictures()
    with lesa.accelerate(pipe, config) as session:
        cached = pictures()
    psnr = [-10 * np.log10(np.mean((a - b) ** 2)) for a, b in zip(cached, reference, strict=True)]
    (model,) = found.models
    assert model.details["line-a"].psnr_db[:2] == pytest.approx(psnr, abs=1e-4)
    assert row(found, "line-a").cache_bytes == session.report.cache_bytes
    fewer = pictures(num_inference_steps=4)
    psnr = [-10 * np.log10(np.mean((a - b) ** 2)) for a, b in zip(fewer, reference, strict=True)]
    assert model.details["fewer_steps_4"].psnr_db[:2] == pytest.approx(psnr, abs=1e-4)


def test_error_curves_begin_at_nothing_and_only_caches_and_peers_have_them(bench):
    (model,) = bench.run().models
    curve = model.details["reuse-a"].step_rel_l2
    assert curve[:2] == [0.0, 0.0], "both steps are computed, on the uncached run's latents"
    assert all(value > 0 for value in curve[2:])
    assert len(curve) == STEPS
    assert model.details["fewer_steps_4"].step_rel_l2 == []


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
    assert log.steps <= log.expected


class Killed(BaseException):
    """As a signal would."""


@pytest.mark.parametrize("finished", [1, 5, 10])
def test_a_killed_benchmark_goes_on_without_repeating_anything_and_says_the_same(
    bench, tmp_path, monkeypatch, finished
):
    whole = bench.run()
    everything = len(Store(bench.cells))
    bench.cells = tmp_path / "again"
    keep, kept = Store.keep, []

    def stop_after(store: Store, identity: Any, cell: Any) -> None:
        if len(kept) == finished:
            raise Killed
        keep(store, identity, cell)
        kept.append(identity)

    monkeypatch.setattr(Store, "keep", stop_after)
    with pytest.raises(Killed):
        bench.run()
    assert len(Store(bench.cells)) == finished < everything

    def note(store: Store, identity: Any, cell: Any) -> None:
        assert identity not in kept, "measured twice"
        keep(store, identity, cell)
        kept.append(identity)

    monkeypatch.setattr(Store, "keep", note)
    again = bench.run()
    assert len(kept) == everything
    assert timeless(again) == timeless(whole)
    runs: list[Any] = []
    monkeypatch.setattr(
        model_bench, "generate_batch", lambda *arguments: runs.append(arguments) or generate_batch(*arguments)
    )
    assert bench.run() == again, "finished: to the last digit, times included"
    assert len(runs) == 1, "and nothing but the two steps that warm the model up was run"


def test_a_changed_method_is_measured_anew_and_the_others_are_not(bench, monkeypatch):
    bench.run()
    bench.raw["methods"]["line"]["predictor"]["order"] = 2
    log = ProgressLog()
    bench.run(log)
    assert set(log.order) == {"line-a"}


def test_a_method_that_fails_says_so_in_its_row_and_the_others_go_on(bench, monkeypatch):
    real = model_bench.probe

    def probe(pipe: Any, contender: Any, *rest: Any) -> Any:
        if contender.name == "line-a":
            raise LesaError("it fell over\nbadly")
        return real(pipe, contender, *rest)

    monkeypatch.setattr(model_bench, "probe", probe)
    results = bench.run()
    assert row(results, "line-a").error == "LesaError: it fell over badly"
    assert row(results, "line-a").psnr_db is None
    assert row(results, "reuse-a").error is None
    assert {difference.theirs for difference in results.differences} | {
        difference.ours for difference in results.differences
    } == {"reuse-a", "fewer_steps_4"}


def test_a_method_that_fails_later_is_not_run_again(bench, monkeypatch):
    real, tries = model_bench.attached, []

    def attached(pipe: Any, contender: Any, peer: Any = None) -> Any:
        tries.append(contender.name)
        if contender.name == "line-a":
            raise LesaError("no memory")
        return real(pipe, contender, peer)

    monkeypatch.setattr(model_bench, "attached", attached)
    results = bench.run()
    assert row(results, "line-a").error == "LesaError: no memory"
    assert tries.count("line-a") == 1
    assert tries.count("reuse-a") == 2


def test_peers_are_set_to_the_same_work_and_those_that_cannot_say_so(bench, monkeypatch):
    bench.raw["peers"] = ["diffusers_taylorseer_lite", "diffusers_taylorseer", "cache_dit_dbcache"]
    monkeypatch.setattr("lesa_peers.cache_dit_dbcache.refusal", lambda pipe: "cache-dit is not installed.")
    results = bench.run()
    lite = row(results, "diffusers_taylorseer_lite_4")
    assert lite.kind is Kind.PEER
    assert lite.nfe <= 4
    assert lite.competes
    assert lite.settings["cache_interval"] >= 2
    assert lite.psnr_db is not None
    assert lite.cache_bytes > 0
    assert lite.flops < row(results, "uncached").flops
    default = row(results, "diffusers_taylorseer_4")
    assert default.nfe > 4
    assert not default.competes
    assert "Cannot do as little as 4" in default.note
    assert row(results, "cache_dit_dbcache_4").error == "cache-dit is not installed."
    assert {d.theirs for d in results.differences} | {d.ours for d in results.differences} >= {lite.name}
    store = Store(bench.cells)
    assert len(store) > 0
    real = model_bench.match
    monkeypatch.setattr(
        model_bench,
        "match",
        lambda family, *rest: real(family, *rest) if "dit" in family.name else pytest.fail("again"),
    )
    lines = store._lines.read_text().splitlines()
    store._lines.write_text("\n".join(line for line in lines if '"sitting"' not in line))
    again = bench.run()
    assert timeless(again) == timeless(results), "settings that an earlier start found are attached again"


def test_a_model_folder_may_lie_beside_the_file(bench, tmp_path):
    (tmp_path / "mine").symlink_to(bench.model)
    bench.raw["models"] = {"./mine": {"call": CALL}}
    results = bench.run(only=("reuse-a",))
    assert {each.model for each in results.rows} == {"./mine"}


def test_a_mistake_of_the_last_model_shows_before_the_first_is_run(bench, monkeypatch):
    bench.raw["models"][f"{bench.model}/."] = {"call": {**CALL, "hight": 3}}
    monkeypatch.setattr(model_bench, "generate_batch", lambda *_: pytest.fail("something was run"))
    with pytest.raises(ConfigError, match="--call hight: FluxPipeline does not take it"):
        bench.run()


def test_samples_that_are_identical_are_told_of(bench):
    bench.raw["schedules"] = {"all": {"kind": "always"}}
    always = row(bench.run(), "reuse-all")
    assert always.psnr_db is None
    assert not always.competes
    assert always.note.startswith("3 samples are identical to the uncached run's")


def test_only_some_rows(bench):
    results = bench.run(only=(f"{bench.model}/reuse-*",))
    assert [each.name for each in results.rows] == ["uncached", "reuse-a"]
    with pytest.raises(ConfigError, match="--only nothing: fits no row"):
        bench.run(only=("nothing",))


def test_metrics_that_cannot_be_loaded_are_skipped_by_name(bench):
    bench.raw["metrics"] = ["image_reward"]
    results = bench.run()
    assert [note for note in results.notes if "image_reward" in note]
    assert row(results, "reuse-a").scores == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"peers": ["diffusers_taylor"]}, "'diffusers_taylor' is not a registered peer"),
        ({"metrics": ["lips"]}, "'lips' is not a registered metric"),
        ({"methods": {"a": {"predictor": {"kind": "reus"}}}}, "methods.a with schedules.a: predictor.kind: 'reus'"),
        ({"methods": {"a": {"predictor": {"kind": "reuse"}, "schedule": {}}}}, "methods.a: has a schedule of its own"),
        ({"prompts": {"draw": 2}}, "prompts.draw: nobody draws prompts"),
        ({"prompts": {"file": "nothing.txt"}}, "nothing.txt: cannot be read"),
        ({"methods": {}}, "nothing to compare"),
        ({"methods": {"a": {"predictor": {"kind": "reuse"}, "backbone": "flux"}}}, "a.backbone: expected a map"),
        ({"methods": {"fewer_steps_": {"predictor": {"kind": "reuse"}}}}, "the name of a row of its own"),
    ],
)
def test_bad_files_are_refused_before_anything_is_run(bench, monkeypatch, change, told):
    bench.raw |= change
    monkeypatch.setattr(model_bench, "generate_batch", lambda *_: pytest.fail("something was run"))
    with pytest.raises(LesaError) as caught:
        bench.run()
    assert told in str(caught.value)
    assert not bench.cells.exists()


def test_peers_set_to_whole_steps_are_out_of_competition(bench):
    bench.raw["peers_by_steps"] = ["diffusers_first_block_cache"]
    results = bench.run()
    whole = row(results, "diffusers_first_block_cache_4_whole")
    plans = list(results.models[0].details[whole.name].plans.values())
    assert 1 <= sum(plan.count("F") for plan in plans) / len(plans) <= 4
    assert set("".join(plans)) <= set("F0123456789"), "its first block is never left out"
    assert whole.nfe > whole.target_nfe
    assert whole.psnr_db is not None
    assert not whole.competes
