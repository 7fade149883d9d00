"""Weighted sums of slots of a ring in one pass."""

from __future__ import annotations

import math

import pytest
import torch

from lesa_framework import EntryInfo, Filter
from lesa_framework.runtime.features import bags, on_cpu
from lesa_framework.runtime.features.bags import weigh_in_bags
from lesa_framework.runtime.features.finite import found_in
from lesa_framework.runtime.features.history import History
from lesa_framework.runtime.features.weighing import Terms, weigh, weigh_plainly
from lesa_framework.testing.tiny_pipeline import noise

CPU = torch.device("cpu")
SHAPE = torch.Size((2, 5, 64))
DTYPES = [torch.float32, torch.bfloat16, torch.float16]

pytestmark = pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines,
    reason="this torch has no FBGEMM; on an x86 CPU: pytest tests/runtime/features/test_bags.py",
)


@pytest.fixture(autouse=True)
def _nothing_is_small(monkeypatch):
    monkeypatch.setattr(on_cpu, "CHUNK", 100)


def ring(depth, dtype=torch.float32) -> torch.Tensor:
    return torch.stack([noise(SHAPE, seed) for seed in range(depth)]).to(dtype)


def terms(features, weights, bias=0.0, made=None) -> Terms:
    first = features[0]
    return Terms(tuple(features), tuple(weights), bias, first.shape, made or first.dtype, CPU)


def exact(given: Terms) -> torch.Tensor:
    """The sum in float64, of the weights in float32."""
    pairs = zip(given.weights, given.features, strict=True)
    return sum(torch.tensor(weight).double() * feature.double() for weight, feature in pairs)


@pytest.mark.parametrize("slots", [(0,), (2, 3), (1, 0, 3), (3, 2, 1, 0)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_is_the_sum_in_float32_rounded_once(dtype, slots):
    held = ring(4, dtype)
    given = terms([held[slot] for slot in slots], [0.9 - 0.4 * k for k in range(len(slots))])
    made = weigh_in_bags(given)
    assert (made.dtype, made.shape) == (dtype, SHAPE)
    plain, best = weigh_plainly(given)[0], exact(given)
    if dtype is torch.float32:
        assert torch.equal(made, plain)
    # No value is further away than with torch's own rounding, but for what float32 loses of a sum.
    assert bool(((made.double() - best).abs() <= (plain.double() - best).abs() + 1e-6).all())


@pytest.mark.parametrize(("dtype", "cancelling_take"), [(torch.bfloat16, 9), (torch.float16, 6)])
def test_a_weight_is_as_few_numbers_as_lose_nothing_that_could_be_seen(dtype, cancelling_take):
    usual, cancelling, exact = (0.9, 0.7, -0.4), (40.123457, -77.765432, 38.641975), (2.0, -1.0)
    numbers = [len(bags._written(weights, dtype)[0]) for weights in (usual, cancelling, exact)]
    assert numbers == [6, cancelling_take, 2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_large_weights_that_cancel_each_other_lose_nothing(dtype):
    held = ring(1, dtype).expand(3, *SHAPE).clone()
    given = terms(held, (300.25, -700.75, 401.5))
    torch.testing.assert_close(weigh_in_bags(given).double(), exact(given), atol=1e-3, rtol=torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_not_rounded_to_the_dtype_of_the_features(dtype):
    held = ring(1, dtype).expand(2, *SHAPE).clone()
    made = weigh_in_bags(terms(held, (1.0 + 2.0**-14, -1.0)))
    torch.testing.assert_close(made.double(), held[0].double() * 2.0**-14, atol=1e-7, rtol=2.0**-8)
    assert made.abs().max() > 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_slot_that_is_not_used_is_not_read(dtype):
    held = ring(3, dtype)
    held[1] = math.nan
    assert weigh_in_bags(terms([held[0], held[2]], (0.5, 0.7))).isfinite().all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_is_replaced_and_counted(dtype, bad):
    held = ring(3, dtype)
    held[1].view(-1)[77] = bad
    given, instead = terms(held, (0.9, 0.5, -0.4)), torch.full(SHAPE, 7.0, dtype=dtype)
    assert weigh_in_bags(given) is not None
    made, replaced = weigh(given, lambda: instead)
    assert (found_in(replaced), float(made.view(-1)[77]), bool(made.isfinite().all())) == ((1, 0), 7.0, True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_values_whose_sum_overflows_are_no_alarm(dtype):
    held = torch.full((2, *SHAPE), torch.finfo(dtype).max / 4, dtype=dtype)
    made, replaced = weigh(terms(held, (1.0, 2.0)), lambda: held[0])
    assert replaced == 0
    assert torch.equal(made, held[0] * 3)


@pytest.mark.parametrize("weights", [(1e5, 1.0), (1e-4, 3e-5), (math.nan, 1.0), (math.inf, 1.0)])
def test_weights_that_half_precision_cannot_write_go_another_way(weights):
    given = terms(ring(2, torch.float16), weights)
    assert weigh_in_bags(given) is None
    torch.testing.assert_close(weigh(given)[0], weigh_plainly(given)[0], equal_nan=True)


def _odd(held: torch.Tensor) -> Terms:
    return terms(held[:, :, :, :63].contiguous(), (0.5, 0.7))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda held: terms((held[0], held[1].clone()), (0.5, 0.7)), id="two rings"),
        pytest.param(lambda held: terms((held[0], held[1].transpose(0, 1).reshape(SHAPE)), (0.5, 0.7)), id="a copy"),
        pytest.param(lambda held: terms(held.transpose(1, 2), (0.5, 0.7)), id="strides"),
        pytest.param(lambda held: terms(held.view(-1)[3 : 3 + 640].view(2, 5, 64)[:1], (0.5,)), id="between slots"),
        pytest.param(lambda held: terms(held, (0.5, 0.7), bias=0.1), id="bias"),
        pytest.param(lambda held: terms(held, (0.5, torch.ones(64))), id="channels"),
        pytest.param(lambda held: terms(held, (0.5, 0.7), made=torch.bfloat16), id="another dtype"),
        pytest.param(lambda held: terms(held.double(), (0.5, 0.7)), id="float64"),
        pytest.param(lambda held: terms(held[:, :0], (0.5, 0.7)), id="nothing"),
        pytest.param(_odd, id="odd size"),
        pytest.param(lambda held: terms(held, (1e-60, 1e-60)), id="weights that are 0 in float32"),
    ],
)
def test_what_does_not_fit_goes_another_way(make):
    given = make(ring(2))
    assert weigh_in_bags(given) is None
    torch.testing.assert_close(weigh(given)[0], weigh_plainly(given)[0], atol=1e-6, rtol=1e-6)


def test_without_fbgemm_it_goes_another_way(monkeypatch):
    monkeypatch.setattr(bags, "_has_kernels", lambda: False)
    assert weigh_in_bags(terms(ring(2), (0.5, 0.7))) is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_was_made_in_inference_mode_is_used_outside(dtype):
    given = terms(ring(2, dtype), (0.53, 0.71))
    with torch.inference_mode():
        first = weigh_in_bags(given).clone()
    with torch.enable_grad():
        assert torch.equal(weigh_in_bags(given), first)


def test_a_history_is_added_up_in_one_pass_wherever_its_ring_begins(monkeypatch):
    monkeypatch.setattr(on_cpu, "_in_chunks", lambda *_: pytest.fail("in chunks"))
    history, features = History(3), ring(5)
    for step, feature in enumerate(features):
        history.append(feature, EntryInfo(step, computed=True))
        if step:
            made = history.apply(Filter((1.5, -0.5)))
            assert torch.equal(made, feature.mul(1.5).add(features[step - 1], alpha=-0.5))


def test_the_result_is_nobody_elses_memory():
    given = terms(ring(2), (0.5, 0.7))
    first = weigh_in_bags(given)
    kept = first.clone()
    weigh_in_bags(given).zero_()
    assert torch.equal(first, kept)
