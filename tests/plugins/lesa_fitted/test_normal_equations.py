"""Least squares in parts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lesa_fitted import normal_equations
from lesa_fitted.normal_equations import NormalEquations, energy
from lesa_framework.testing import pretended_device
from tests.narrow import WithoutFloat64


@given(st.integers(0, 1000), st.integers(1, 5))
def test_they_find_what_least_squares_finds(seed, size):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(size, 40, generator=generator, dtype=torch.float64)
    target = torch.randn(40, generator=generator, dtype=torch.float64)
    equations = NormalEquations(size)
    equations.add([row.view(1, 8, 5) for row in features], target.view(1, 8, 5))
    wanted = torch.linalg.lstsq(features.T, target.unsqueeze(1)).solution.squeeze(1)
    assert torch.allclose(equations.solve(0.0), wanted, atol=1e-8)


def test_parts_of_samples_and_of_batches_give_what_the_whole_gives(monkeypatch):
    features, target = torch.randn(3, 4, 16), torch.randn(4, 16)
    whole, parts = NormalEquations(3), NormalEquations(3)
    whole.add(list(features), target)
    monkeypatch.setattr(normal_equations, "CHUNK", 7)
    for half in (slice(0, 2), slice(2, 4)):
        parts.add([row[half] for row in features], target[half])
    assert torch.allclose(whole.solve(1e-6), parts.solve(1e-6))


def test_a_device_without_float64(monkeypatch):
    features, target = torch.randn(2, 3, 16), torch.randn(3, 16)
    here, there = NormalEquations(2), NormalEquations(2)
    here.add(list(features), target)
    monkeypatch.setattr(normal_equations, "_NARROW", ("lazy",))
    with pretended_device() as device, WithoutFloat64():
        there.add([row.to(device.device) for row in features], target.to(device.device))
        assert float(energy(target.to(device.device))) == float(energy(target))
    assert torch.equal(there.solve(1e-6), here.solve(1e-6))


def test_a_sample_that_cannot_be_fitted_does_not_decide_for_the_others():
    generator = torch.Generator().manual_seed(0)
    feature, noise = (torch.randn(8, 30, generator=generator) for _ in range(2))
    target = 2 * feature + 0.01 * noise
    target[0] = -30 * feature[0] + 20 * noise[0]  # its picture changed its course
    equations = NormalEquations(1)
    equations.add([feature], target)
    assert float(equations.solve(0.0)) == pytest.approx(2.0, abs=0.05)
    plain = float((feature * target).sum() / feature.square().sum())
    assert plain < 0


@pytest.mark.parametrize("ridge", [0.0, 1e-6])
def test_features_that_are_the_same_share_the_weight(ridge):
    feature = torch.randn(1, 30)
    equations = NormalEquations(2)
    equations.add([feature, feature], 3 * feature)
    assert torch.allclose(equations.solve(ridge), torch.tensor([1.5, 1.5], dtype=torch.float64), atol=1e-4)


def test_samples_that_are_not_finite_are_left_out():
    feature = torch.randn(3, 20)
    target = 2 * feature
    target[1, 4] = torch.inf
    equations = NormalEquations(1)
    equations.add([feature], target)
    assert float(equations.solve(0.0)) == pytest.approx(2.0)
    lost = NormalEquations(2)
    lost.add([feature[1:2], feature[1:2]], target[1:2])
    assert bool(lost.solve(1e-6).isnan().all())


@given(st.integers(0, 1000), st.integers(1, 8))
def test_along_each_direction_a_prediction_changes_by_as_much(seed, size):
    generator = torch.Generator().manual_seed(seed)
    newest, change = (torch.randn(1, 400, generator=generator, dtype=torch.float64) for _ in range(2))
    features = [newest + k * change + 0.2 * torch.randn(1, 400, generator=generator).double() for k in range(size)]
    equations = NormalEquations(size)
    equations.add(features, newest)
    changes = torch.cat(features).T @ equations.directions() / newest.square().sum().sqrt()
    assert torch.allclose(changes.T @ changes, torch.eye(size, dtype=torch.float64), atol=0.1)


def test_directions_of_features_that_are_the_same_stay_finite():
    feature = torch.randn(2, 30)
    feature[1] = 0
    equations = NormalEquations(3)
    equations.add([feature] * 3, feature)
    directions = equations.directions()
    assert bool(directions.isfinite().all())
    assert float(directions.abs().max()) < 100


def test_without_a_sample_directions_are_the_weights_themselves():
    equations = NormalEquations(2)
    assert torch.equal(equations.directions(), torch.eye(2, dtype=torch.float64))
    equations.add([torch.full((1, 4), torch.nan)] * 2, torch.zeros(1, 4))
    assert torch.equal(equations.directions(), torch.eye(2, dtype=torch.float64))


def test_they_are_on_the_cpu_whatever_the_default_is():
    features, target = torch.randn(2, 3, 16), torch.randn(3, 16)

    def found() -> list[torch.Tensor]:
        equations = NormalEquations(2)
        lost = equations.solve(0.0).isnan()
        equations.add(list(features), target)
        return [lost, equations.solve(1e-6), equations.directions()]

    here = found()
    with torch.device("meta"):
        assert all(map(torch.equal, found(), here))
