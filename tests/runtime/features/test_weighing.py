"""Weighted sums on the CPU, a part at a time."""

from __future__ import annotations

import math

import pytest
import torch

from lesa_framework.runtime.features import on_cpu
from lesa_framework.runtime.features.finite import found_in
from lesa_framework.runtime.features.weighing import Terms, weigh, weigh_plainly
from lesa_framework.testing.tiny_pipeline import noise

SHAPE = (2, 5, 6)
CPU = torch.device("cpu")


@pytest.fixture(params=[7, 60, 1000], autouse=True)
def _parts(request, monkeypatch):
    monkeypatch.setattr(on_cpu, "CHUNK", request.param)


def terms(count, dtype=torch.float32, *, made=None, by_channel=False, bias=0.25, seed=0) -> Terms:
    features = tuple(noise(SHAPE, seed + k).to(dtype) for k in range(count))
    weights = tuple(noise((count, SHAPE[-1]), 9)) if by_channel else tuple(0.9 - 0.4 * k for k in range(count))
    return Terms(features, weights, bias, torch.Size(SHAPE), made or dtype, CPU)


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("bias", [0.0, 0.25, torch.linspace(0, 1, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_is_the_sum_in_float32_rounded_once(dtype, bias, by_channel):
    for count in (1, 2, 5):
        given = terms(count, dtype, by_channel=by_channel, bias=bias)
        exact = sum(w * f.double() for w, f in zip(given.weights, given.features, strict=True)) + bias
        made, replaced = weigh(given)
        assert (made.dtype, made.shape, replaced) == (dtype, SHAPE, 0)
        torch.testing.assert_close(made, exact.to(dtype), atol=1e-6, rtol=torch.finfo(dtype).eps)
        torch.testing.assert_close(made, weigh_plainly(given)[0], atol=1e-6, rtol=torch.finfo(dtype).eps)


def test_features_kept_in_half_precision_make_a_float32_result():
    given = terms(3, torch.bfloat16, made=torch.float32)
    made, _ = weigh(given)
    assert made.dtype == torch.float32
    exact = sum(w * f.double() for w, f in zip(given.weights, given.features, strict=True)) + 0.25
    torch.testing.assert_close(made.double(), exact, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 1), (2, 1, 1)])
def test_channels_on_another_axis(shape):
    given = terms(2)
    weights = tuple(noise((2, *shape), 3))
    changed = Terms(given.features, weights, 0.0, given.shape, given.dtype, CPU)
    made, replaced = weigh(changed, lambda: given.features[0])
    assert replaced == 0
    exact = sum(w * f for w, f in zip(weights, given.features, strict=True))
    torch.testing.assert_close(made, exact)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("place", [0, 29, 59])
def test_what_is_not_finite_is_replaced_and_counted(place, dtype, bad):
    given = terms(3, dtype)
    given.features[1].view(-1)[place] = bad
    instead = torch.full(SHAPE, 7.0, dtype=dtype)
    made, replaced = weigh(given, lambda: instead)
    assert found_in(replaced) == (1, 0)
    assert made.view(-1)[place] == 7
    plain, _ = weigh(given)
    assert not plain.view(-1)[place].isfinite()
    assert int((made != plain).sum()) == 1


def test_rounding_to_infinity_is_found():
    large = torch.full(SHAPE, 60000.0, dtype=torch.float16)
    given = Terms((large, large), (1.0, 1.0), 0.0, large.shape, torch.float16, CPU)
    made, replaced = weigh(given, lambda: large)
    assert (found_in(replaced), made.isfinite().all()) == ((60, 0), True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_took_the_place_and_is_not_finite_either_is_counted(dtype):
    given, instead = terms(3, dtype), torch.full(SHAPE, 7.0, dtype=dtype)
    given.features[1].view(-1)[10:13] = math.nan
    instead.view(-1)[11] = instead.view(-1)[40] = math.inf
    made, replaced = weigh(given, lambda: instead)
    assert found_in(replaced) == (3, 1)
    assert made.view(-1)[10:13].tolist() == [7, math.inf, 7]


def test_a_sum_of_parts_that_overflows_is_no_alarm():
    large = torch.full(SHAPE, 3e38)
    made, replaced = weigh(Terms((large,), (1.0,), 0.0, large.shape, large.dtype, CPU), lambda: pytest.fail("is fine"))
    assert replaced == 0
    assert torch.equal(made, large)


def test_nothing_to_add_is_the_bias():
    empty = Terms((), (), 0.5, torch.Size(SHAPE), torch.bfloat16, CPU)
    assert torch.equal(weigh(empty)[0], torch.full(SHAPE, 0.5, dtype=torch.bfloat16))
    none = torch.empty(0, 6)
    made, replaced = weigh(Terms((none,), (torch.ones(6),), 0.0, none.shape, none.dtype, CPU), lambda: none)
    assert (made.shape, replaced) == ((0, 6), 0)


def test_with_gradients_the_sum_has_a_graph():
    given = terms(2)
    weight = torch.ones(6, requires_grad=True)
    made, _ = weigh(Terms(given.features, (weight, 0.5), 0.0, given.shape, given.dtype, CPU))
    made.sum().backward()
    torch.testing.assert_close(weight.grad, given.features[0].sum((0, 1)))


def test_the_result_is_nobody_elses_memory():
    given = terms(2)
    first, _ = weigh(given)
    kept = first.clone()
    second, _ = weigh(given)
    second.zero_()
    assert torch.equal(first, kept)
    assert not any(made.data_ptr() == each.data_ptr() for made in (first, second) for each in given.features)


def test_the_sum_is_where_the_features_are_whatever_the_default_is():
    given = terms(3, torch.bfloat16)
    expected, _ = weigh(given)
    with torch.device("meta"):
        made, _ = weigh(given, lambda: given.features[0])
    assert torch.equal(made, expected)
