"""The least-squares fit and its predictor that docs/how-to/extend/fit.md shows, run as they stand there."""

from __future__ import annotations

import re
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from lesa_framework import (
    ArtifactError,
    ConfigError,
    FitTask,
    OneStage,
    TrainingConfig,
    accelerate,
    build_strategy,
    load_config,
)
from lesa_framework.plugin.manager import plugins
from lesa_framework.training import Sampler, Task, TrueHistory
from lesa_framework.training.run import train
from lesa_framework.training.task import make_batches
from lesa_framework.types import Tap
from lesa_schedules.schedules import FixedInterval
from tests.toys import ToyAdapter, ToyPipeline, register_toy

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "extend" / "fit.md"
EXAMPLE = ROOT / "examples" / "third_party_plugin" / "lesa_lagrange" / "least_squares.py"
STEPS = 20


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> FitTask:
    register_toy(monkeypatch, "toy", ToyAdapter)
    return Task(
        TrainingConfig(num_steps=STEPS),
        Sampler(ToyPipeline(), STEPS, {}),
        tuple(torch.linspace(1, 0, STEPS + 1).tolist()),
        FixedInterval(3, 2),
        OneStage(),
        "toy",
        Tap.PRE_HEAD,
        make_batches([str(number) for number in range(12)], 4, seed=0),
    )


def shown(title: str) -> types.ModuleType:
    """The module that the page shows under a title."""
    (code,) = re.findall(rf'```python title="my_package/{title}.py"\n(.*?)```', PAGE.read_text("utf-8"), re.DOTALL)
    module = types.ModuleType(f"my_package.{title}")
    exec(compile(code, title, "exec", dont_inherit=True), module.__dict__)
    return module


def test_the_fit_on_the_page_predicts_held_out_features_better_than_reuse(task):
    fit = shown("least_squares").LeastSquares(task)
    parts = list(fit.run())
    assert [(part.done, part.total) for part in parts] == [(1, 3), (2, 3), (3, 3)]
    weights = fit.tensors()["weights"]
    errors = {"fitted": 0.0, "reuse": 0.0}

    def compare(history, ctx, feature):
        newest, before = history.feature(0), history.feature(1)
        fitted = weights[ctx.index, 0] * newest + weights[ctx.index, 1] * before
        errors["fitted"] += float((fitted - feature).square().sum())
        errors["reuse"] += float((newest - feature).square().sum())

    (held_out,) = make_batches(["a", "b"], 2, seed=7)
    task.uncached(held_out, TrueHistory(task, fit.predictor, compare))
    # 0.47 of it: the toy jitters from step to step, which no two weights can follow.
    assert 0 < errors["fitted"] < 0.6 * errors["reuse"]


def fitted(source: str, task: FitTask) -> torch.Tensor:
    """The weights that the fit of the page or of the example finds."""
    module = shown("least_squares") if source == "page" else types.SimpleNamespace(**runpy.run_path(str(EXAMPLE)))
    fit = module.LeastSquares(task)
    list(fit.run())
    return fit.tensors()["weights"]


@pytest.mark.parametrize("source", ["page", "example"])
def test_the_weights_are_the_same_whatever_the_default_device_is(task, source):
    here = fitted(source, task)
    with torch.device("meta"):
        there = fitted(source, task)
    assert torch.equal(there, here)


@pytest.mark.parametrize("source", ["page", "example"])
def test_steps_that_are_not_predicted_in_the_fit_are_reused_under_another_schedule(task, source):
    weights = fitted(source, task)
    computed = [0, 1, *range(4, STEPS, 3)]
    assert weights[computed].tolist() == [[1.0, 0.0]] * len(computed)
    assert not (weights[2] == torch.tensor([1.0, 0.0])).any()


def test_the_predictor_on_the_page_runs_on_what_its_fit_found(monkeypatch, flux: Any, generate: Any, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "my_package.least_squares", shown("least_squares"))
    config = shown("two_weights").TwoWeightsConfig
    monkeypatch.setitem(plugins().registry.predictors._items, "two_weights", (config, "tests"))
    raw = {
        "schedule": {"kind": "fixed_interval", "interval": 3, "warmup": 2},
        "predictor": {"kind": "two_weights"},
        "training": {"num_steps": 8},
    }
    with pytest.raises(ConfigError, match="has to be fitted first"):
        build_strategy(load_config(raw))
    call = {"height": 16, "width": 16, "max_sequence_length": 8}
    trained = train(load_config(raw), flux, call, ["a star", "a red ring"], tmp_path)
    strategy = build_strategy(load_config(trained.config))
    assert len(strategy.predictor.trained_for.sigmas) == 9
    with accelerate(flux, trained.config) as session:
        generate(flux, num_inference_steps=8)
        with pytest.raises(ArtifactError, match="trained for 8 steps, but the run has 6"):
            generate(flux, num_inference_steps=6)
    assert session.report.nfe < 8
