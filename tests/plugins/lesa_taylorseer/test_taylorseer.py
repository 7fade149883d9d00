"""TaylorSeer against a second, literal evaluation of the published recursion."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lesa_framework import EntryInfo, StepContext
from lesa_framework.runtime.features.history import History
from lesa_framework.testing import check_predictor, even_grid
from lesa_framework.testing.tiny_pipeline import noise
from lesa_taylorseer.predictor import TaylorSeer, TaylorSeerConfig

GRID = even_grid(100)
orders = st.integers(0, 4)
#: Rising step numbers with uneven gaps, and how far after the last one to predict.
computed_steps = st.lists(st.integers(1, 9), min_size=1, max_size=8).map(
    lambda gaps: [sum(gaps[:end]) for end in range(1, len(gaps) + 1)]
)


class Published:
    """The method as published: on every computed step the caches D_0 .. D_M are formed anew from the last ones."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.caches: list[Tensor] = []
        self.step = -1

    def compute(self, step: int, feature: Tensor) -> None:
        caches = [feature.double()]
        for m in range(self.order):
            if m < len(self.caches):
                caches.append((caches[m] - self.caches[m]) / (step - self.step))
        self.caches, self.step = caches, step

    def predict(self, step: int) -> Tensor:
        x = step - self.step
        return sum(d * x**m / math.factorial(m) for m, d in enumerate(self.caches))


def ours(order: int, features: dict[int, Tensor], step: int) -> Tensor:
    predictor = TaylorSeer(order)
    history = History(predictor.depth)
    for computed, feature in features.items():
        history.append(feature, EntryInfo(computed, True))
    return predictor.predict(history, StepContext(step, GRID, entries=history.entries))


@given(order=orders, steps=computed_steps, ahead=st.integers(1, 9), seed=st.integers(0, 1000))
def test_equals_the_published_recursion(order, steps, ahead, seed):
    features = {step: noise((2, 3, 4), seed + step).double() for step in steps}
    reference = Published(order)
    for step, feature in features.items():
        reference.compute(step, feature)
    expected = reference.predict(steps[-1] + ahead)
    scale = max(1.0, float(expected.abs().max()))
    assert (ours(order, features, steps[-1] + ahead) - expected).abs().max() <= 1e-6 * scale


@pytest.mark.parametrize("order", range(5))
def test_float32_features_on_the_schedule_of_the_paper(order):
    features = {step: noise((2, 3, 4), step) for step in (0, 1, 2, 9, 16, 23)}
    reference = Published(order)
    for step, feature in features.items():
        reference.compute(step, feature)
    expected = reference.predict(27)
    difference = (ours(order, features, 27).double() - expected).abs().max()
    assert difference <= 1e-6 * max(1.0, float(expected.abs().max()))


def test_second_order_by_hand():
    # D_1(10) = (5 - 2) / 4, D_1(6) = (2 - 1) / 2, D_2(10) = (D_1(10) - D_1(6)) / 4: the gap at 10, not Newton's 6.
    weights = (
        TaylorSeer(2)
        .filter((EntryInfo(10, True), EntryInfo(6, True), EntryInfo(4, True)), StepContext(13, GRID))
        .weights
    )
    value = sum(weight * feature for weight, feature in zip(weights, (5.0, 2.0, 1.0), strict=True))
    assert value == pytest.approx(5 + 0.75 * 3 + (0.75 - 0.5) / 4 * 9 / 2)


def test_it_is_not_newtons_interpolation():
    # A parabola is reproduced by Newton's form, and not by the published one when gaps are uneven.
    features = {step: torch.full((1, 1, 1), float(step**2)) for step in (1, 4, 9)}
    assert float(ours(2, features, 12)) != pytest.approx(144.0, abs=1.0)


@given(order=st.integers(1, 4), steps=computed_steps, ahead=st.integers(1, 9))
def test_a_straight_line_is_reproduced(order, steps, ahead):
    if len(steps) < 2:
        steps = [*steps, steps[-1] + 3]
    features = {step: torch.tensor([[[2.0 * step - 5.0]]], dtype=torch.float64) for step in steps}
    assert float(ours(order, features, steps[-1] + ahead)) == pytest.approx(2.0 * (steps[-1] + ahead) - 5.0, abs=1e-6)


@given(steps=computed_steps, ahead=st.integers(1, 9))
def test_order_zero_is_reuse(steps, ahead):
    features = {step: noise((1, 2, 3), step) for step in steps}
    assert torch.equal(ours(0, features, steps[-1] + ahead), features[steps[-1]])


@given(order=orders, steps=computed_steps, ahead=st.integers(0, 9))
def test_weights_sum_to_one(order, steps, ahead):
    entries = tuple(EntryInfo(step, True) for step in reversed(steps))
    weights = TaylorSeer(order).filter(entries, StepContext(steps[-1] + ahead, GRID)).weights
    assert sum(weights) == pytest.approx(1.0, abs=1e-6 * max(1.0, *map(abs, weights)))
    assert len(weights) == min(order + 1, len(steps))


@pytest.mark.parametrize("held", [1, 2, 3, 5])
def test_the_order_grows_with_the_history(held):
    entries = tuple(EntryInfo(step, True) for step in range(20, 20 - 3 * held, -3))
    ctx = StepContext(22, GRID)
    assert TaylorSeer(4).filter(entries, ctx) == TaylorSeer(held - 1).filter(entries, ctx)


def test_a_straight_line_is_the_default():
    entries = tuple(EntryInfo(step, True) for step in (20, 17, 14, 11))
    ctx = StepContext(22, GRID)
    line = TaylorSeer(1).filter(entries, ctx)
    assert TaylorSeer().filter(entries, ctx) == TaylorSeerConfig().build().filter(entries, ctx) == line
    assert len(line.weights) == 2


@pytest.mark.parametrize("order", range(5))
def test_keeps_its_contract(order):
    check_predictor(TaylorSeerConfig(order=order))


@pytest.mark.parametrize("order", [-1, 5])
def test_orders_that_there_are_not(order):
    with pytest.raises(ValueError, match="order"):
        TaylorSeerConfig(order=order)
