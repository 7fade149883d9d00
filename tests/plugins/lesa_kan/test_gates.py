"""Training on a schedule that looks at data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lesa_framework import ConfigError, World
from lesa_kan.trainable_lesa import TrainableLesa
from lesa_kan.two_stage import TwoStageFit
from lesa_rivals.teacache import TeaCache
from tests.plugins.lesa_kan.test_two_stage import short

#: Each part of the training alone.
PARTS = [
    {"guided_epochs": 1, "closed_loop_epochs": 0},
    {"guided_epochs": 0, "closed_loop_epochs": 1},
    {"guided_epochs": 0, "closed_loop_epochs": 1, "target": "feature"},
]


def gated(pipe: Any, trainable: TrainableLesa, threshold: float, **settings: Any) -> TwoStageFit:
    fit = short(pipe, trainable, **settings)
    return TwoStageFit(trainable, fit._settings, replace(fit._task, schedule=TeaCache(threshold)))


@pytest.mark.parametrize("part", PARTS)
def test_a_gate_is_trained_on_if_it_predicts(toy_pipeline: Any, slope: Any, part: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"no step of a batch was predicted.* Raise its threshold"):
        list(gated(toy_pipeline, slope, 1e-6, **part).run())
    assert slope.a.item() == 0
    list(gated(toy_pipeline, slope, 10.0, **part).run())
    assert slope.a.item() != 0


def test_processes_do_not_share_a_training_on_a_gate(toy_pipeline: Any, slope: Any) -> None:
    fit = gated(toy_pipeline, slope, 10.0)
    with pytest.raises(ConfigError, match=r"each of the 2 processes would predict other steps.* Use one process"):
        TwoStageFit(slope, fit._settings, replace(fit._task, world=World(size=2)))
    TwoStageFit(slope, fit._settings, replace(short(toy_pipeline, slope)._task, world=World(size=2)))
