from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lesa_framework import EntryInfo, Filter, HistoryPlace, PluginContractError
from lesa_framework.runtime.features.history import History
from lesa_framework.runtime.features.packing import EIGHT_BITS
from lesa_framework.sizing.history import SizedHistory
from lesa_framework.testing import pretended_device
from lesa_framework.testing.tiny_pipeline import noise
from lesa_framework.training.graph_history import GraphHistory

SHAPE = (2, 3, 4)
numbers = st.floats(-3, 3, width=32)


def filled(depth: int, count: int, dtype: torch.dtype = torch.float32) -> tuple[History, list[Tensor]]:
    """A history that has seen `count` features, and the list that it should be equal to, newest first."""
    history, model = History(depth), []
    for step in range(count):
        feature = noise(SHAPE, step).to(dtype)
        history.append(feature, EntryInfo(step, step % 2 == 0))
        model.insert(0, feature)
    return history, model[:depth]


@given(depth=st.integers(1, 40), count=st.integers(0, 60))
def test_is_a_list_of_the_newest(depth, count):
    history, model = filled(depth, count)
    assert len(history.entries) == len(model)
    assert [entry.step for entry in history.entries] == list(range(count - 1, -1, -1))[:depth]
    for k, feature in enumerate(model):
        assert torch.equal(history.feature(k), feature)


@pytest.mark.parametrize("kind", [History, GraphHistory, SizedHistory])
@pytest.mark.parametrize("dtype", [None, EIGHT_BITS])
def test_what_was_freed_holds_nothing_and_can_be_filled_again(kind, dtype):
    place = HistoryPlace(dtype=dtype)
    history, fresh = kind(3, place), kind(3, place)
    for step in range(2):
        history.append(noise(SHAPE, step), EntryInfo(step, True))
    assert history.nbytes > 0
    history.free()
    assert (history.nbytes, history.entries) == (0, ())
    for step in range(2, 7):
        for each in (history, fresh):
            each.append(noise(SHAPE, step), EntryInfo(step, True))
    assert (history.nbytes, history.entries) == (fresh.nbytes, fresh.entries)
    assert all(torch.equal(history.feature(k), fresh.feature(k)) for k in range(3))


def test_a_deep_history_has_places_for_what_it_holds():
    history, one = History(64), noise(SHAPE, 0).nbytes
    for count in range(1, 70):
        history.append(noise(SHAPE, count), EntryInfo(count, True))
        assert history.nbytes == one * min(64, max(8, count))


def test_a_history_that_grew_is_read_as_it_was_stored():
    eight_bits = HistoryPlace(dtype=torch.float8_e4m3fn)
    grown, whole = History(64, eight_bits), History(8, eight_bits)
    for step in range(8):
        for history in (grown, whole):
            history.append(noise(SHAPE, step) * 10.0**step, EntryInfo(step, True))
    before = [whole.feature(k).clone() for k in range(8)]
    with torch.inference_mode():
        grown.append(noise(SHAPE, 8), EntryInfo(8, True))
    assert all(torch.equal(grown.feature(k + 1), each) for k, each in enumerate(before))
    grown.append(noise(SHAPE, 9), EntryInfo(9, True))  # outside of inference mode, into the ring that was made in it


def test_a_history_on_a_gpu_grows_without_moving_what_it_holds():
    # A GPU's memory is not given back at once: each larger ring would be held beside all smaller ones.
    with pretended_device() as device:
        history = History(64)
        for step in range(8):
            history.append(noise(SHAPE, step).to(device.device, non_blocking=True), EntryInfo(step, True))
        before = [history.feature(k) for k in range(8)]
        for step in range(8, 12):
            history.append(noise(SHAPE, step).to(device.device, non_blocking=True), EntryInfo(step, True))
        assert history.nbytes == 12 * noise(SHAPE, 0).nbytes
        after = [history.feature(k + 4) for k in range(8)]
        history.append(noise(SHAPE, 99).to(device.device, non_blocking=True), EntryInfo(99, True))
        for one, other in zip(before, after, strict=True):
            assert one.held.data_ptr() == other.held.data_ptr()
        for k, step in enumerate((99, *range(11, -1, -1))):
            assert torch.equal(history.feature(k).to("cpu", non_blocking=True), noise(SHAPE, step))


@given(data=st.data(), depth=st.integers(1, 20), count=st.integers(1, 30))
def test_filter_is_the_weighted_sum(data, depth, count):
    history, model = filled(depth, count)
    weights = data.draw(st.lists(numbers, min_size=1, max_size=len(model)))
    bias = data.draw(numbers)
    expected = sum(w * h.double() for w, h in zip(weights, model, strict=False)) + bias
    torch.testing.assert_close(history.apply(Filter(tuple(weights), bias)).double(), expected, atol=1e-5, rtol=1e-5)


@given(first=st.lists(numbers, min_size=4, max_size=4), second=st.lists(numbers, min_size=4, max_size=4))
def test_filter_is_linear_in_its_numbers(first, second):
    history, _ = filled(4, 6)
    total = tuple(a + b for a, b in zip(first, second, strict=True))
    apart = history.apply(Filter(tuple(first), 1.0)) + history.apply(Filter(tuple(second), 0.5))
    torch.testing.assert_close(history.apply(Filter(total, 1.5)), apart, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("weights", [(0.5,), (1.5, -0.5), (2.0, -1.5, 0.5), (0.1, 0.2, 0.3, 0.4)])
def test_accumulates_in_float32_at_least(dtype, weights):
    history, model = filled(4, 6, dtype)
    result = history.apply(Filter(weights, 0.25))
    exact = sum(w * h.double() for w, h in zip(weights, model, strict=False)) + 0.25
    assert result.dtype == dtype
    tolerance = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps if dtype != torch.float64 else 0)
    torch.testing.assert_close(result.double(), exact, atol=4 * tolerance, rtol=4 * tolerance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_are_not_rounded_to_the_features_dtype(dtype):
    weights = (1 + 2.0**-12, -1.0, 2.0**-12)
    history = History(3)
    for step in range(3):
        history.append(torch.ones(SHAPE, dtype=dtype), EntryInfo(step, True))
    assert torch.equal(history.apply(Filter(weights)), torch.full(SHAPE, 2.0**-11, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_picking_one_feature_is_exact_and_copies_nothing(dtype):
    history, model = filled(4, 6, dtype)
    picked = history.apply(Filter((0.0, 0.0, 1.0)))
    assert torch.equal(picked, model[2])
    assert picked.data_ptr() == history.feature(2).data_ptr()


def test_an_all_zero_filter_is_its_bias():
    history, _ = filled(3, 2)
    assert torch.equal(history.apply(Filter((), 0.5)), torch.full(SHAPE, 0.5))
    assert torch.equal(history.apply(Filter((0.0, 0.0), 0.0)), torch.zeros(SHAPE))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_more_weights_than_features_are_refused(count, dtype):
    # Not even weights that would land on slots of the ring which hold another feature, or none yet.
    history, _ = filled(4, count, dtype)
    with pytest.raises(PluginContractError, match=f"{count + 3} weights.*holds {count} feature"):
        history.apply(Filter((0.2,) * (count + 3)))


def test_appending_its_own_view_is_safe():
    history, model = filled(3, 3)
    history.append(history.apply(Filter((0.0, 0.0, 1.0))), EntryInfo(3, False))
    assert torch.equal(history.feature(0), model[2])
    assert torch.equal(history.feature(1), model[0])


def test_memory_is_what_the_ring_holds():
    history = History(4)
    assert history.nbytes == 0
    history.append(torch.zeros(SHAPE, dtype=torch.bfloat16), EntryInfo(0, True))
    assert history.nbytes == 4 * 2 * 3 * 4 * 2


def test_asking_beyond_its_end_is_an_error():
    with pytest.raises(IndexError, match="holds 0 features"):
        History(2).feature(0)
    with pytest.raises(IndexError, match="holds 0 features"):
        _ = History(2).kind
    history = History(4)
    history.append(torch.zeros(SHAPE), EntryInfo(0, True))
    for k in (1, 3, -1):
        with pytest.raises(IndexError, match=f"holds 1 features, counted from 0; asked for number {k}"):
            history.feature(k)


def test_keeps_no_graph():
    history, leaf = History(2), torch.ones(SHAPE, requires_grad=True)
    for step in range(3):
        history.append(leaf * step, EntryInfo(step, True))
    assert not history.feature(0).requires_grad
    assert not history.apply(Filter((0.5, 0.5))).requires_grad


def test_begun_in_inference_mode_goes_on_outside():
    history = History(2)
    with torch.inference_mode():
        history.append(torch.ones(SHAPE), EntryInfo(0, True))
    history.append(torch.full(SHAPE, 3.0), EntryInfo(1, True))
    assert torch.equal(history.apply(Filter((0.5, 0.5))), torch.full(SHAPE, 2.0))


def test_a_feature_of_another_kind_starts_afresh():
    history, _ = filled(3, 3)
    history.append(torch.ones(1, 7, 4), EntryInfo(3, True))
    assert [entry.step for entry in history.entries] == [3]
    history.append(torch.ones(1, 7, 4, dtype=torch.bfloat16), EntryInfo(4, True))
    assert history.feature(0).dtype == torch.bfloat16
    assert len(history.entries) == 1


@pytest.mark.parametrize(
    ("dtype", "loss"), [(torch.float16, 2**-11), (torch.bfloat16, 2**-8), (torch.float8_e4m3fn, 2**-4)]
)
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("own", [torch.float32, torch.bfloat16])
def test_kept_with_fewer_bits(dtype, loss, size, own):
    """The sum is of what was kept; in eight bits each feature has a scale, so that its size does not matter."""
    history = History(3, HistoryPlace(dtype=dtype))
    features = [(size * noise((2, 8, 16), step)).to(own) for step in range(5)]
    for step, feature in enumerate(features):
        history.append(feature, EntryInfo(step, computed=True))
    assert history.nbytes == 3 * 2 * 8 * 16 * dtype.itemsize
    for k in range(3):
        found, expected = history.feature(k), features[4 - k]
        assert found.dtype is own
        torch.testing.assert_close(found.float(), expected.float(), rtol=loss + 2**-7, atol=size * 2**-9)
    kept = [history.feature(k).double() for k in range(3)]
    total = history.apply(Filter((2.0, -0.5, 0.25)))
    rounding = torch.finfo(own).eps
    expected = 2.0 * kept[0] - 0.5 * kept[1] + 0.25 * kept[2]
    torch.testing.assert_close(total.double(), expected, rtol=4 * rounding, atol=4 * rounding * size)


def test_zeros_in_eight_bits():
    history = History(1, HistoryPlace(dtype=torch.float8_e4m3fn))
    history.append(torch.zeros(SHAPE), EntryInfo(0, computed=True))
    assert torch.equal(history.feature(0), torch.zeros(SHAPE))


def test_gradients_pass_eight_bits_as_if_nothing_were_lost():
    """A fit learns on what the run will read."""
    place = HistoryPlace(dtype=torch.float8_e4m3fn)
    ours, theirs = History(1, place), GraphHistory(1, place)
    feature = noise(SHAPE, 0).requires_grad_()
    for history in (ours, theirs):
        history.append(feature, EntryInfo(0, computed=True))
    read = theirs.apply(Filter((0.5,)))
    torch.testing.assert_close(read, ours.apply(Filter((0.5,))))
    (gradient,) = torch.autograd.grad(read.sum(), feature)
    assert torch.equal(gradient, torch.full(SHAPE, 0.5))


class Kernels(TorchDispatchMode):
    """Which kernels torch runs."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_small_filter_runs_a_kernel_for_each_weight_and_two_for_the_finite_check():
    history = History(4)
    for step in range(4):
        history.append(torch.full((1, 2, 3), float(step)), EntryInfo(step, computed=True))
    with torch.no_grad(), Kernels() as ran:
        history.predict(Filter((0.5, 0.0, -0.25, 2.0)), check=True)
    assert ran.names == ["mul", "add_", "add_", "sum", "_local_scalar_dense"]


@pytest.mark.parametrize("kind", [History, GraphHistory])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_float16_cannot_hold_is_kept_as_the_largest_that_it_can(kind, dtype):
    history = kind(2, HistoryPlace(dtype=torch.float16))
    for step, scale in enumerate((1.0, 1e6)):
        history.append(scale * torch.tensor([[1.0, -1.0, 0.5]], dtype=dtype), EntryInfo(step, True))
    assert torch.equal(history.feature(0), torch.tensor([[65504.0, -65504.0, 65504.0]], dtype=dtype))
    assert history.apply(Filter((2.0, -1.0))).isfinite().all()


def test_float16_zeros_in_eight_bits():
    history = History(1, HistoryPlace(dtype=torch.float8_e4m3fn))
    for feature in (torch.zeros(2, 3, dtype=torch.float16), torch.full((2, 3), 1e-6, dtype=torch.float16)):
        history.append(feature, EntryInfo(0, True))
        assert history.feature(0).isfinite().all()


def test_rollouts_of_a_fit_add_up_as_runs_do():
    for history in (History(3), GraphHistory(3)):
        for step, value in enumerate((-1.0, 2.0**-11, 1.0)):
            history.append(torch.full(SHAPE, value, dtype=torch.bfloat16), EntryInfo(step, True))
        found = history.apply(Filter((1.0, 1.0, 1.0)))
        assert torch.equal(found, torch.full(SHAPE, 2.0**-11, dtype=torch.bfloat16))
