"""A plugin's own tests: the suites that LESA Framework ships, and the formula."""

from __future__ import annotations

import pytest
import torch
from lesa_lagrange.adapter import ClassDiTAdapter
from lesa_lagrange.model import ClassDiT
from lesa_lagrange.predictor import Lagrange, LagrangeConfig

from lesa_framework import EntryInfo, StepContext
from lesa_framework.testing import backbone_checks, check_predictor, even_grid


def make_model() -> ClassDiT:
    torch.manual_seed(0)
    return ClassDiT(width=16, depth=2)


def call(model, latent, sigma, prompt):
    batch = latent.shape[0]
    return model(latent, torch.full((batch,), 1000 * sigma), torch.full((batch,), prompt % 10))


def make_latent(size):
    return torch.linspace(-1, 1, 32 * size).view(1, -1, 4)


CHECKS = backbone_checks(ClassDiTAdapter, make_model=make_model, call=call, make_latent=make_latent)


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_the_adapter_keeps_its_contract(check):
    check()


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_the_predictor_keeps_its_contract(order):
    check_predictor(LagrangeConfig(order=order))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_polynomial_in_the_noise_level_is_reproduced(order):
    grid = even_grid(20)
    entries = tuple(EntryInfo(step, True) for step in (9, 5, 4, 0)[: order + 1])
    weights = Lagrange(order=order).filter(entries, StepContext(12, grid)).weights
    value = sum(weight * grid[entry.step] ** order for weight, entry in zip(weights, entries, strict=True))
    assert value == pytest.approx(grid[12] ** order)


def test_of_a_repeated_noise_level_the_newest_feature_counts():
    grid = (1.0, 0.8, 0.8, 0.6, 0.6, 0.0)  # Heun's: two calls a step
    entries = (EntryInfo(3, True), EntryInfo(2, True), EntryInfo(1, True), EntryInfo(0, True))
    weights = Lagrange(order=3).filter(entries, StepContext(4, grid)).weights
    assert weights[2] == 0.0
    assert sum(weights) == pytest.approx(1)
