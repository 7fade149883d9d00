"""Batches that are not trained on decide which weights are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lesa_framework import ConfigError
from lesa_kan.settings import LesaTrainingConfig
from lesa_kan.two_stage import TwoStageFit
from tests.plugins.lesa_kan.test_two_stage import seen, short


def test_the_weights_that_do_best_on_what_is_held_out_are_kept(toy_pipeline: Any, slope: Any) -> None:
    fit = short(toy_pipeline, slope, held_out=0.5, guided_epochs=0, closed_loop_lr=0.5, closed_loop_epochs=4)
    found = {}
    for step in fit.run():
        if step.save or step.stage == "record":
            found[fit.epochs["closed loop"]] = (fit.measure(1) if step.save else None, slope.a.item())
    looks = [entry["drift_db"] for entry in fit.log if entry["stage"] == "held out"]
    assert [entry["epoch"] for entry in fit.log if entry["stage"] == "held out"] == [0, 1, 2, 3, 4]
    assert looks[1:] == [found[epoch][0] for epoch in (1, 2, 3, 4)]
    best = looks.index(max(looks))
    assert best < 4  # or the test would show nothing
    assert slope.a.item() == found[best][1]
    assert fit.drift_db == looks[best]
    assert [entry["epoch"] for entry in fit.log if "loss" in entry] == [0, 1, 2, 3]


def test_what_is_held_out_is_not_trained_on(toy_pipeline: Any, slope: Any) -> None:
    fit = short(toy_pipeline, slope, held_out=0.5, guided_epochs=2, closed_loop_epochs=1)
    assert seen(fit) == [
        ("guided", 1, 3, 0, True),
        ("record", 1, 3, 0, False),
        ("guided", 2, 3, 1, True),
        ("safe start", 2, 3, 0, False),
        ("closed loop", 3, 3, 0, True),
    ]
    state = fit.state_dict()
    again = short(toy_pipeline, slope, held_out=0.5, guided_epochs=2, closed_loop_epochs=1)
    again.load_state_dict(state)
    slope.a.data.fill_(9.0)
    list(again.run())
    assert again.drift_db == fit.drift_db
    assert slope.a.item() == state["best"][1]["a"].item()


def test_one_batch_cannot_be_held_out_and_trained_on(toy_pipeline: Any, slope: Any) -> None:
    fit = short(toy_pipeline, slope, held_out=0.25)
    one = replace(fit._task, batches=fit._task.batches[:1])
    with pytest.raises(ConfigError, match=r"training\.held_out: all prompts are in one batch.* Lower training\.batch"):
        TwoStageFit(slope, fit._settings, one)
    TwoStageFit(slope, LesaTrainingConfig(), one)
