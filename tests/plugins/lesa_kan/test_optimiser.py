from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from lesa_framework import World
from lesa_kan.optimiser import Optimiser

LR = 0.125


def made(schedule: Any = "constant", *, epochs: int = 8, **options: float) -> tuple[nn.Parameter, Optimiser]:
    weights = nn.Parameter(torch.tensor([1.0, 2.0]))
    chosen = {"lr": LR, "weight_decay": 0.0, "clip": 1e9, **options}
    return weights, Optimiser([weights], schedule=schedule, epochs=epochs, world=World(), **chosen)


def moved(weights: nn.Parameter, optimiser: Optimiser) -> float:
    """How far a step goes: the learning rate, because AdamW's steps along a constant gradient are that long."""
    before = weights.detach().clone()
    optimiser.learn(weights.sum())
    return float((before - weights.detach()).mean())


def test_a_gradient_that_float16_cannot_hold_is_learnt_from() -> None:
    weights, optimiser = made()
    feature = torch.full((1024,), 1024.0)
    prediction = (weights[0] * feature).half()
    optimiser.learn((prediction.float() * 2**-26).sum())  # as of one among 2**26 values
    assert float(weights.grad[0]) == 2**-6
    assert float(weights.detach()[0]) == pytest.approx(1.0 - LR)


@pytest.mark.parametrize(
    ("epoch", "share"),
    [(0, 1.0), (2, 0.02 + 0.98 * (0.5 + math.sqrt(0.125))), (4, 0.51), (6.5, 0.02 + 0.98 * 0.0842652), (8, 0.02)],
)
def test_cosine_falls_to_a_fiftieth_at_the_last_epoch(epoch: float, share: float) -> None:
    weights, optimiser = made("cosine")
    optimiser.set_epoch(epoch)
    assert moved(weights, optimiser) == pytest.approx(LR * share, rel=1e-4)


def test_cosine_stays_low_after_its_epochs_and_needs_none() -> None:
    weights, optimiser = made("cosine")
    optimiser.set_epoch(12)
    assert moved(weights, optimiser) == pytest.approx(LR * 0.02, rel=1e-4)
    weights, optimiser = made("cosine", epochs=0)
    optimiser.set_epoch(0)
    assert moved(weights, optimiser) == pytest.approx(LR)
    optimiser.set_epoch(1)
    assert moved(weights, optimiser) == pytest.approx(LR * 0.02, rel=1e-4)


@pytest.mark.parametrize("schedule", ["constant", "authors"])
def test_other_rates_do_not_follow_epochs(schedule: str) -> None:
    weights, optimiser = made(schedule)
    optimiser.set_epoch(4)
    assert moved(weights, optimiser) == pytest.approx(LR, rel=1e-4)


@pytest.mark.parametrize(("schedule", "factors"), [("authors", (1, 1, 0.5)), ("constant", (1, 1, 1))])
def test_the_authors_halve_the_rate_every_500_steps(schedule: str, factors: tuple[float, ...]) -> None:
    weights, optimiser = made(schedule)
    optimiser.load_state_dict({**optimiser.state_dict(), "steps": 498})
    found = [moved(weights, optimiser) for _ in factors]
    assert optimiser.steps == 501
    assert found == pytest.approx([LR * factor for factor in factors], rel=1e-4)
    optimiser.load_state_dict({**optimiser.state_dict(), "steps": 999})
    moved(weights, optimiser)
    assert moved(weights, optimiser) == pytest.approx(LR * factors[-1] ** 2, rel=1e-4)


def test_gradients_are_clipped_and_do_not_add_up() -> None:
    weights, optimiser = made(clip=0.5)
    for _ in range(2):
        optimiser.learn(3 * weights.sum())
        assert weights.grad is not None
        assert float(weights.grad.norm()) == pytest.approx(0.5, rel=1e-4)
    weights, optimiser = made(clip=100.0)
    for _ in range(2):
        optimiser.learn(3 * weights.sum())
        assert weights.grad.tolist() == [3.0, 3.0]


def test_weights_decay() -> None:
    weights, optimiser = made(weight_decay=0.5)
    optimiser.learn(0 * weights.sum())
    assert weights.tolist() == pytest.approx([1 - LR * 0.5, 2 - LR])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_step_without_a_finite_gradient_is_skipped_and_counted(bad: float) -> None:
    weights, optimiser = made()
    optimiser.learn(weights.sum() * bad)
    assert weights.tolist() == [1.0, 2.0]
    assert (optimiser.steps, optimiser.skipped) == (0, 1)
    optimiser.learn(weights.sum())
    optimiser.learn(weights.sum() * bad)
    assert (optimiser.steps, optimiser.skipped) == (1, 2)


def test_a_resumed_optimiser_makes_the_same_steps() -> None:
    weights, optimiser = made()
    for _ in range(3):
        optimiser.learn(weights.square().sum())
    optimiser.learn(weights.sum() * math.nan)
    state, kept = copy.deepcopy(optimiser.state_dict()), weights.detach().clone()  # as through a file
    again, resumed = made()
    with torch.no_grad():
        again.copy_(kept)
    resumed.load_state_dict(state)
    assert (resumed.steps, resumed.skipped) == (3, 1)
    optimiser.learn(weights.square().sum())
    resumed.learn(again.square().sum())
    assert torch.equal(again, weights)
