from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from lesa_framework import (
    ConfigError,
    Decision,
    LesaError,
    LoadedMetric,
    Samples,
    SchedulePolicy,
    StepContext,
    Strategy,
    load_config,
)
from lesa_framework.generation import GenerationSettings, generate_batch
from lesa_framework.measure.compare import Comparison, compare
from lesa_framework.measure.methods import Method, cached_methods
from lesa_framework.measure.planning import build_strategies, planned_nfe
from lesa_framework.measure.results import Pair
from lesa_framework.measure.scoring import Metrics, load_metrics
from lesa_framework.types import RunInfo, Tap
from tests.progress_log import ProgressLog

SETTINGS = GenerationSettings(
    num_steps=8,
    call={"height": 16, "width": 16, "max_sequence_length": 8, "negative_prompt": "", "true_cfg_scale": 3.0},
)
PAIRS = [Pair(prompt=prompt, seed=seed) for prompt in ("a red ring", "a blue star") for seed in (0, 1)]


def config(name: str, predictor: str = "reuse", schedule: dict[str, Any] | None = None, **sections: Any) -> Any:
    raw = {
        "schedule": schedule or {"kind": "fixed_interval", "interval": 3, "warmup": 2},
        "predictor": {"kind": predictor},
        **sections,
    }
    return load_config(raw).model_copy(update={"name": name})


def run(pipe: Any, configs: Sequence[Any], **options: Any) -> Comparison:
    methods = cached_methods(pipe, configs, build_strategies(configs), SETTINGS)
    return compare(pipe, methods, PAIRS, SETTINGS, **options)


def test_methods_take_turns_on_every_batch(flux: Any) -> None:
    log = ProgressLog()
    comparison = run(flux, [config("a"), config("b", "taylorseer")], batch=2, watcher=log)
    turns = ["uncached", "a", "b", "fewer_steps_4"]
    assert log.order == ["uncached", "a", "b", *turns, *turns]
    assert log.steps == log.expected
    assert [row.name for row in comparison.rows] == turns
    assert [row.nfe for row in comparison.rows] == [8, 4, 4, 4]


def test_always_is_the_uncached_run_bit_for_bit(flux: Any) -> None:
    comparison = run(flux, [config("all", schedule={"kind": "always"})], batch=3, keep=4)
    assert comparison.images["all"] == comparison.images["uncached"]
    row = comparison.rows[1]
    assert (row.psnr_db, row.scores["rel_l2"], row.nfe) == (None, 0.0, 8)
    assert row.scores["ssim"] == pytest.approx(1.0)
    assert len(comparison.images["uncached"]) == 4


def test_a_pair_is_measured_against_its_own_uncached_run(flux: Any) -> None:
    together = run(flux, [config("a")], batch=4)
    alone = run(flux, [config("a")], batch=1)
    assert together.details["a"].scores["psnr_db"] == pytest.approx(alone.details["a"].scores["psnr_db"], abs=0.05)
    assert together.rows[1].psnr_db == pytest.approx(sum(together.details["a"].scores["psnr_db"]) / 4)
    assert set(together.details["a"].plans.values()) == {"FFPPFPPF"}


def test_the_model_is_left_as_it_was(flux: Any) -> None:
    generate_batch(flux, ["a"], [0], SETTINGS)  # diffusers leaves something of its own at the first call
    before = dict(flux.transformer.__dict__)
    run(flux, [config("a")])
    assert flux.transformer.__dict__ == before


def test_scores_are_averaged_over_captions_that_name_something(flux: Any) -> None:
    class Ring(LoadedMetric):
        def measure(self, samples: Samples, references: Samples, prompts: Sequence[str]) -> list[float | None]:
            assert samples.images.shape == references.images.shape == (len(prompts), 3, 16, 16)
            assert 0 <= samples.images.min() <= samples.images.max() <= 1
            return [0.5 if "ring" in prompt else None for prompt in prompts]

    metrics = Metrics({**load_metrics((), torch.device("cpu")).loaded, "ring": Ring()})
    comparison = run(flux, [config("a")], metrics=metrics, batch=3)
    assert [row.scores["ring"] for row in comparison.rows] == [0.5] * 3
    assert comparison.details["a"].scores["ring"] == [0.5, 0.5, None, None]


def test_a_broken_method_is_named(flux: Any) -> None:
    class Broken(type(build_strategies([config("a")])["a"].predictor)):  # type: ignore[misc]
        def predict(self, history: Any, ctx: StepContext) -> Tensor:
            return history.feature(0) * float("nan")

    chosen = config("bad", engine={"check_finite": False})
    strategy = build_strategies([chosen])["bad"]
    method = Method("bad", 8, 4, chosen, Strategy(strategy.schedule, strategy.router, Broken(), check_finite=False))
    with pytest.raises(LesaError, match="bad: the latents became NaN"):
        compare(flux, [method], PAIRS[:1], SETTINGS)


def test_nfe_that_was_not_planned_gets_its_row_too(flux: Any) -> None:
    chosen = config("a")
    (method,) = cached_methods(flux, [chosen], build_strategies([chosen]), SETTINGS)

    class Looks(SchedulePolicy):
        def decide(self, ctx: StepContext) -> Decision:
            wanted = ctx.index < 3 if ctx.latent is not None else ctx.index < 2
            return Decision.COMPUTE if wanted else Decision.PREDICT

    assert method.strategy is not None
    strategy = Strategy(Looks(), method.strategy.router, method.strategy.predictor)
    odd = Method("a", 8, 2, chosen, strategy)
    comparison = compare(flux, [odd], PAIRS[:2], SETTINGS)
    assert [row.name for row in comparison.rows] == ["uncached", "a", "fewer_steps_2", "fewer_steps_3"]


def test_too_few_steps_for_the_history(flux: Any) -> None:
    strategy = build_strategies([config("a")])["a"]
    run_info = RunInfo((1.0, 0.0), "flux", Tap.PRE_HEAD)
    with pytest.raises(ConfigError, match="at least 2 steps"):
        planned_nfe(strategy, run_info)


def test_errors_begin_with_the_configuration_s_name(flux: Any) -> None:
    late = config("late", schedule={"kind": "steps", "compute": [0, 30]})
    with pytest.raises(ConfigError, match=r"^late: schedule\.compute: step 30"):
        cached_methods(flux, [late], build_strategies([late]), SETTINGS)
