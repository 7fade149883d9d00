"""A comparison without a file or a store, as `lesa eval` and `lesa demo` make it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lesa_framework import ConfigError, Decision, SchedulePolicy, StepContext, Strategy, load_config
from lesa_framework.generation import GenerationSettings
from lesa_framework.measure import write_page
from lesa_framework.measure.probing import WarmUp
from lesa_framework.measure.results import Pair, Results
from lesa_framework.measure.runner import run_bench
from lesa_framework.measure.tasks import comparison
from lesa_framework.pipelines import find_model
from tests.measure.benches import CALL, STEPS, row
from tests.progress_log import ProgressLog

SETTINGS = GenerationSettings(num_steps=STEPS, call=CALL)
PAIRS = [Pair(prompt=prompt, seed=seed) for prompt in ("a red ring", "a blue star") for seed in (0, 1)]


def config(name: str, predictor: str = "reuse", schedule: dict[str, Any] | None = None) -> Any:
    raw = {
        "schedule": schedule or {"kind": "fixed_interval", "interval": 3, "warmup": 2},
        "predictor": {"kind": predictor},
    }
    return load_config(raw).model_copy(update={"name": name})


def run(folder: Path, *configs: Any, log: ProgressLog | None = None, change: Any = None, **options: Any) -> Results:
    bench = comparison(find_model(str(folder)), configs, PAIRS, SETTINGS, **options)
    if change is not None:
        (task,) = bench.tasks
        caches = [replace(each, strategy=change(each.strategy)) for each in task.caches]
        bench = replace(bench, tasks=[replace(task, caches=caches)])
    return run_bench(bench, lambda _: nullcontext(log or ProgressLog()), prober=WarmUp(), device="cpu")


def test_each_method_is_warmed_up_once_and_then_takes_turns_on_every_batch(flux_folder):
    log = ProgressLog()
    results = run(flux_folder, config("a"), config("b", "taylorseer"), batch=2, log=log)
    rounds = [*("uncached", "a", "b", "fewer_steps_4"), *("uncached", "a", "fewer_steps_4", "b")]
    assert log.order == ["a", "b", *rounds]
    assert log.done == pytest.approx(log.expected)
    assert log.seconds is not None
    assert 0 < log.seconds < 60
    assert [(each.name, each.nfe, each.work) for each in results.rows] == [
        ("uncached", 8, 8),
        ("a", 4, 4),
        ("b", 4, 4),
        ("fewer_steps_4", 4, 4),
    ]


def test_nothing_that_a_counted_row_has_is_missing(flux_folder):
    results = run(flux_folder, config("a"), images=2)
    found, (model,) = row(results, "a"), results.models
    assert found.cache_bytes > 0
    assert found.speedup is not None
    assert row(results, "fewer_steps_4").cache_bytes == 0
    assert model.details["a"].plans == {"cond": "FFPPFPPF", "uncond": "FFPPFPPF"}
    assert model.sources["a"].config.startswith("schedule:")
    assert {name: len(images) for name, images in model.images.items()} == {each.name: 2 for each in results.rows}
    assert {each.theirs for each in results.differences} | {each.ours for each in results.differences} == {
        "a",
        "fewer_steps_4",
    }


def test_always_is_the_uncached_run_bit_for_bit(flux_folder):
    results = run(flux_folder, config("all", schedule={"kind": "always"}), batch=3, images=4)
    images, found = results.models[0].images, row(results, "all")
    assert images["all"] == images["uncached"]
    assert (found.psnr_db, found.scores["rel_l2"], found.nfe) == (None, 0.0, 8)
    assert found.scores["ssim"] == pytest.approx(1.0)
    assert len(images["uncached"]) == 4


def test_a_pair_is_measured_against_its_own_uncached_run(flux_folder):
    together, alone = (run(flux_folder, config("a"), batch=batch) for batch in (4, 1))
    values = together.models[0].details["a"].scores["psnr_db"]
    assert values == pytest.approx(alone.models[0].details["a"].scores["psnr_db"], abs=0.05)
    assert row(together, "a").psnr_db == pytest.approx(sum(values) / 4)


def test_a_broken_method_says_so_in_its_row_and_the_others_continue(flux_folder):
    def broken(strategy: Strategy) -> Strategy:
        class Broken(type(strategy.predictor)):  # type: ignore[misc]
            def predict(self, history: Any, ctx: StepContext) -> Tensor:
                return history.feature(0) * float("nan")

        return Strategy(strategy.schedule, strategy.router, Broken(), check_finite=False)

    results = run(flux_folder, config("bad"), change=broken)
    assert "the latents became NaN or infinite" in row(results, "bad").error
    assert row(results, "fewer_steps_4").psnr_db is not None


class Looks(SchedulePolicy):
    """A gate: it decides by the latent, so no plan knows what it computes."""

    dynamic = True

    def decide(self, ctx: StepContext) -> Decision:
        assert ctx.latent is not None
        return Decision.COMPUTE if ctx.index < 3 else Decision.PREDICT


def test_a_dynamic_schedule_competes_with_a_plain_run_at_the_nfe_of_its_runs(flux_folder):
    results = run(
        flux_folder, config("gate"), batch=2, change=lambda each: Strategy(Looks(), each.router, each.predictor)
    )
    assert [(each.name, each.nfe) for each in results.rows] == [("uncached", 8), ("gate", 3), ("fewer_steps_3", 3)]
    assert len(results.models[0].details["fewer_steps_3"].seconds) == 2
    assert results.differences[0].nfe == 3


class Fails(Looks):
    """A gate that fails at once."""

    def decide(self, ctx: StepContext) -> Decision:
        raise ValueError("no threshold")


def test_a_gate_that_fails_is_a_row_with_its_error_and_there_is_a_page(flux_folder):
    results = run(flux_folder, config("gate"), change=lambda each: Strategy(Fails(), each.router, each.predictor))
    failed = row(results, "gate")
    assert (failed.nfe, failed.error) == (8, "ValueError: no threshold")
    assert "no threshold" in write_page(results)


def test_without_prompts_there_is_nothing_to_compare():
    with pytest.raises(ConfigError, match="prompts: there are none"):
        comparison(find_model("reference:flux"), [config("a")], [], SETTINGS)
