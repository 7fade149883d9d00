"""Whole benchmarks of a tiny pipeline."""

from __future__ import annotations

import json
import shutil
import weakref
from typing import Any

import numpy as np
import pytest
import torch

import lesa_framework as lesa
from lesa_framework import ConfigError
from lesa_framework.interfaces.metric import LoadedMetric
from lesa_framework.measure import runner, subject
from lesa_framework.measure.results import ALWAYS, Results
from lesa_framework.measure.scoring import Metrics, load_metrics
from lesa_framework.pipelines import load_pipeline
from tests.measure.benches import CALL, PROMPTS, STEPS, row
from tests.pipelines import worded
from tests.pipelines.videos import SIZE


def test_methods_by_schedules_and_plain_runs(bench):
    bench.raw["schedules"]["b"] = {"kind": "steps", "compute": [0, 4]}
    results = bench.run()
    assert [(each.name, each.kind, each.nfe, each.work) for each in results.rows] == [
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
    assert found.sources["uncached"].command == "", "the whole benchmark's"
    assert Results.model_validate_json(results.model_dump_json()) == results


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
    assert model.details["line-a"].scores["psnr_db"][:2] == pytest.approx(psnr, abs=1e-4)
    assert row(found, "line-a").cache_bytes == session.report.cache_bytes
    fewer = pictures(num_inference_steps=4)
    psnr = [-10 * np.log10(np.mean((a - b) ** 2)) for a, b in zip(fewer, reference, strict=True)]
    assert model.details["fewer_steps_4"].scores["psnr_db"][:2] == pytest.approx(psnr, abs=1e-4)


def test_only_some_rows(bench):
    results = bench.run(only=(f"{bench.model}/reuse-*",))
    assert [each.name for each in results.rows] == ["uncached", "reuse-a"]
    with pytest.raises(ConfigError, match="--only nothing: fits no row"):
        bench.run(only=("nothing",))
    with pytest.raises(
        ConfigError, match=r"--only fewer_steps_9: fits no row.*/reuse-a, .*/line-a, .*/fewer_steps_N\."
    ):
        bench.run(only=("fewer_steps_9",))


def test_metrics_that_cannot_be_loaded_are_skipped_by_name(bench):
    bench.raw["metrics"] = ["image_reward"]
    results = bench.run()
    assert [note for note in results.notes if "image_reward" in note]
    assert "image_reward" not in row(results, "reuse-a").scores
    assert results.metrics.keys() == {"psnr_db", "ssim", "rel_l2", "feature_rel_l2"}


def test_a_sampler_that_does_not_fit_is_refused_before_anything_is_run(bench, tmp_path, monkeypatch):
    folder = shutil.copytree(bench.model, tmp_path / "mine")
    settings = folder / "scheduler" / "scheduler_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"stochastic_sampling": True}))
    bench.raw |= {"models": {str(folder): {"call": CALL}}, "samplers": ["unipc2"]}
    monkeypatch.setattr(subject, "generate_batch", lambda *_: pytest.fail("something was run"))
    with pytest.raises(ConfigError, match=r"samplers: unipc2 .* this pipeline has one with stochastic_sampling"):
        bench.run()


def test_a_pipeline_with_its_second_transformer_alone(bench, monkeypatch):
    monkeypatch.setattr(runner, "load_pipeline", lambda *_, **__: worded.low_noise_wan())
    bench.raw |= {"models": {bench.model: {"call": SIZE}}, "peers": ["diffusers_taylorseer"]}
    with pytest.raises(ConfigError, match=r"called `transformer`. This one has: transformer_2. To measure the others"):
        bench.run()
    results = bench.run(only=("reuse-*", "fewer_steps_*"))
    assert results.models[0].details["reuse-a"].plans["cond (transformer_2)"] == "FFPPFPPF"
    assert [row(results, name).error for name in ("reuse-a", "fewer_steps_4")] == [None, None]


@pytest.mark.parametrize("others", [False, True])
def test_peers_that_cannot_work_on_a_model_are_refused_before_anything_is_run(bench, monkeypatch, others):
    monkeypatch.setattr("lesa_peers.diffusers_cache.refusal", lambda pipe: "This has no `enable_cache`.")
    monkeypatch.setattr("lesa_peers.cache_dit_dbcache.refusal", lambda pipe: 1 / 0)
    monkeypatch.setattr(subject, "generate_batch", lambda *_: pytest.fail("something was run"))
    bench.raw |= {
        "peers": ["diffusers_magcache", "diffusers_taylorseer", "hicache_pp_dmd"],
        "peers_by_steps": ["diffusers_taylorseer"],
        "told_peers": ["cache_dit_mask"],
    }
    if others:
        bench.raw["models"] |= {f"{bench.model}/.": {"call": CALL}}
    instead = ", or give this model a file of its own" if others else ""
    with pytest.raises(ConfigError) as raised:
        bench.run()
    assert str(raised.value).replace(str(bench.path), "bench.yaml").replace(bench.model, "MODEL") == (
        "bench.yaml: diffusers_magcache, diffusers_taylorseer cannot work on MODEL: This has no "
        f"`enable_cache`. To measure the others, take them out of `peers` and `peers_by_steps`{instead}.\n"
        "bench.yaml: cache_dit_mask cannot work on MODEL: ZeroDivisionError: division by zero. To measure the others, "
        f"take it out of `told_peers`{instead}."
    )


def test_models_of_metrics_are_let_go_before_the_next_model_s_are_loaded(bench, monkeypatch):
    bench.raw["models"][f"{bench.model}/."] = {"call": CALL}
    held: list[weakref.ref[LoadedMetric]] = []

    def load(*given: Any) -> Metrics:
        assert all(each() is None for each in held)
        metrics = load_metrics(*given)
        held.extend(map(weakref.ref, metrics.loaded.values()))
        return metrics

    monkeypatch.setattr(runner, "load_metrics", load)
    results = bench.run(only=("reuse-a",))
    assert len(held) == 2 * len(ALWAYS)
    assert all(each.psnr_db for each in results.rows if each.name == "reuse-a")
