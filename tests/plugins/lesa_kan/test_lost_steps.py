"""Steps of the optimiser whose gradient is not finite."""

from __future__ import annotations

from typing import Any

import torch

from lesa_kan.losses import step_loss
from tests.plugins.lesa_kan.test_two_stage import short


def test_steps_without_a_finite_gradient_are_logged(toy_pipeline: Any, slope: Any, monkeypatch: Any) -> None:
    def lost(*args: Any) -> torch.Tensor:
        with torch.enable_grad():
            return step_loss(*args) * float("nan")

    before = slope.a.item()
    monkeypatch.setattr("lesa_kan.two_stage.step_loss", lost)
    fit = short(toy_pipeline, slope, guided_epochs=1, closed_loop_epochs=0)
    list(fit.run())
    assert [entry["skipped"] for entry in fit.log] == [2, 4]
    assert slope.a.item() == before
