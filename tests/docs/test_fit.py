"""The least-squares fit that docs/extend/fit.md shows, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from lesa_framework import FitTask, TrainingConfig
from lesa_framework.plugin.manager import plugins
from lesa_framework.training import Sampler, Task, TrueHistory
from lesa_framework.training.run import make_batches
from lesa_framework.types import Tap
from lesa_routers.routers import Single
from lesa_schedules.schedules import FixedInterval
from tests.plugins.lesa_kan.conftest import ToyAdapter, ToyPipeline

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "fit.md"
STEPS = 20


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> FitTask:
    monkeypatch.setitem(plugins().registry.backbones._items, "toy", (ToyAdapter, "tests"))
    return Task(
        TrainingConfig(num_steps=STEPS),
        Sampler(ToyPipeline(), STEPS, {}),
        tuple(torch.linspace(1, 0, STEPS + 1).tolist()),
        FixedInterval(3, 2),
        Single(),
        "toy",
        Tap.PRE_HEAD,
        make_batches([str(number) for number in range(12)], 4, seed=0),
    )


def test_the_fit_on_the_page_predicts_held_out_features_better_than_reuse(task):
    (code,) = re.findall(r'```python title="least_squares.py"\n(.*?)```', PAGE.read_text("utf-8"), re.DOTALL)
    shown: dict = {}
    exec(code, shown)
    fit = shown["LeastSquares"](task)
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
