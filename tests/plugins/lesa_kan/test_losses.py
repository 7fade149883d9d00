from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from lesa_framework import EntryInfo, StepContext
from lesa_framework.runtime.features.history import History
from lesa_kan.losses import step_loss, trajectory_loss
from lesa_kan.online import OnlineTraining

SIGMAS = (1.0, 0.5, 0.0)


def history(dtype: torch.dtype = torch.float32) -> History:
    held = History(2)
    for step in range(2):
        held.append(torch.full((1, 3, 4), float(1 + step), dtype=dtype), EntryInfo(step, True))
    return held


def context(held: History, branch: str = "cond") -> StepContext:
    return StepContext(2, SIGMAS, branch, entries=held.entries)


def test_the_loss_of_a_step_is_the_mean_distance_and_has_gradients(slope: Any) -> None:
    held, target = history(), torch.full((1, 3, 4), 5.0, requires_grad=True)
    prepared: list[tuple[float, ...]] = []
    slope.prepare = prepared.append
    with torch.no_grad():
        loss = step_loss(slope, held, context(held), target)  # it predicts 2 + a (2 - 1)
    assert float(loss.detach()) == 3.0
    assert prepared == [SIGMAS]
    loss.backward()
    assert float(slope.a.grad) == pytest.approx(-1.0)
    assert target.grad is None


def test_the_loss_of_a_step_is_not_rounded_to_the_features_and_may_be_beyond_their_range(slope: Any) -> None:
    held, target = history(torch.float16), torch.full((1, 3, 4), -65504.0, dtype=torch.float16)
    held.append(torch.full((1, 3, 4), 65504.0, dtype=torch.float16), EntryInfo(2, True))
    held.append(torch.full((1, 3, 4), 65504.0, dtype=torch.float16), EntryInfo(3, True))
    slope.prepare = lambda sigmas: None
    assert float(step_loss(slope, held, context(held), target).detach()) == 2 * 65504
    held = history(torch.float16)
    target = torch.full((1, 3, 4), 2.0, dtype=torch.float16)
    target[0, 0, 0] += 2**-9  # one value in twelve
    assert float(step_loss(slope, held, context(held), target).detach()) == pytest.approx(2**-9 / 12, rel=1e-6)


def test_the_loss_of_a_trajectory_is_half_of_its_end_and_half_of_all_steps() -> None:
    reference = [torch.zeros(2, 3) for _ in range(4)]
    # Mean squares by step: of the first sample 9, 1, 4, 16; the latents that a run begins with do not count.
    latents = [torch.tensor([[step] * 3, [10.0] * 3]) for step in (3.0, 1.0, 2.0, 4.0)]
    expected = 0.5 * (math.log(16) + math.log((1 + 4 + 16) / 3)) / 2 + 0.5 * (math.log(100) + math.log(100)) / 2
    assert float(trajectory_loss(latents, reference)) == pytest.approx(expected)


def test_the_loss_of_a_trajectory_without_drift_is_finite() -> None:
    same = [torch.ones(1, 3)] * 3
    assert float(trajectory_loss(same, same)) == pytest.approx(math.log(1e-12))


def test_online_training_learns_before_it_predicts(slope: Any) -> None:
    held, asked = history(), []
    features = {("cond", 2): torch.full((1, 3, 4), 5.0), ("uncond", 2): torch.zeros(1, 3, 4)}

    def learn(loss: torch.Tensor) -> None:
        asked.append(float(loss.detach()))
        loss.backward()
        slope.a.data.add_(0.5)

    prepared: list[tuple[float, ...]] = []
    slope.prepare = prepared.append
    slope.num_stages = 2
    online = OnlineTraining(slope, features, learn)
    found = online.predict(held, context(held))
    assert torch.equal(found, torch.full((1, 3, 4), 2.5))
    assert not found.requires_grad
    online.predict(held, context(held, "uncond"))
    assert asked == [3.0, 2.5]
    assert prepared == [SIGMAS] * 4  # before the loss, and again with the weights that were learnt
    assert (online.depth, online.records, online.num_stages, online.min_history(0)) == (2, "all", 2, 2)
