"""Filters with weights for each channel, and over several branches, in both kinds of history."""

from __future__ import annotations

import pytest
import torch

from lesa_framework import EntryInfo, Filter, HistoryPlace, PluginContractError
from lesa_framework.runtime.features.filters import Moved
from lesa_framework.runtime.features.history import History
from lesa_framework.testing import pretended_device
from lesa_framework.testing.tiny_pipeline import noise
from lesa_framework.training.graph_history import GraphHistory
from lesa_framework.types import AS_MADE

SHAPE = (2, 3, 4)
BOTH = pytest.mark.parametrize("kind", [History, GraphHistory])


def filled(kind, count=3, dtype=torch.float32, shape=SHAPE, place=AS_MADE, seed=0):
    branches = {}
    for number, name in enumerate(("cond", "uncond")):
        branches[name] = history = kind(4, place, branches)
        for step in range(count - number):
            history.append(noise(shape, seed + 10 * number + step).to(dtype), EntryInfo(step, True))
    return branches["cond"], branches["uncond"]


def features(history):
    return [history.feature(k).double() for k in range(len(history.entries))]


@BOTH
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_one_weight_for_each_entry_and_channel(kind, dtype):
    own, _ = filled(kind, dtype=dtype)
    weights, bias = noise((3, 4), 7).double(), noise((4,), 8).double()
    result = own.apply(Filter(weights, bias))
    exact = sum(w * h for w, h in zip(weights, features(own), strict=True)) + bias
    assert result.dtype == dtype
    tolerance = 4 * max(torch.finfo(dtype).eps, 0 if dtype == torch.float64 else torch.finfo(torch.float32).eps)
    torch.testing.assert_close(result.double(), exact, atol=tolerance, rtol=tolerance)


@BOTH
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), torch.ones(3, 4)], ids=["numbers", "channels"])
def test_half_precision_is_rounded_once(kind, weights):
    # 1 + 2^-11 - 1 is lost when the running sum is kept in bfloat16.
    history = kind(3)
    for step, value in enumerate((-1.0, 2.0**-11, 1.0)):
        history.append(torch.full(SHAPE, value, dtype=torch.bfloat16), EntryInfo(step, True))
    found = history.apply(Filter(weights))
    assert torch.equal(found, torch.full(SHAPE, 2.0**-11, dtype=torch.bfloat16))


@BOTH
def test_weights_that_are_the_same_for_all_channels_are_a_plain_filter(kind):
    own, _ = filled(kind)
    plain = own.apply(Filter((0.5, -1.5), 0.25))
    torch.testing.assert_close(own.apply(Filter(torch.tensor([[0.5], [-1.5]]).expand(2, 4), 0.25)), plain)
    torch.testing.assert_close(own.apply(Filter((0.5, -1.5), torch.tensor([0.25]))), plain)


@BOTH
def test_a_weight_of_one_counts_beside_numbers_for_each_channel(kind):
    own, other = filled(kind)
    found = own.apply(Filter((1.0, 0.0, 1.0), torch.tensor([0.25]), {"uncond": (0.0, 1.0)}))
    torch.testing.assert_close(found, own.feature(0) + own.feature(2) + other.feature(1) + 0.25)


@BOTH
def test_channels_on_another_axis(kind):
    own, _ = filled(kind, shape=(1, 3, 2, 2))
    weights = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    assert torch.equal(own.apply(Filter(weights)), own.feature(0) * weights[0])


@BOTH
@pytest.mark.parametrize("own_weights", [(0.5, 2.0), torch.tensor([[0.5, 1.0, 0.0, 2.0]])])
@pytest.mark.parametrize("other_weights", [(0.25, -1.0), torch.tensor([[1.0, 0.0, -1.0, 2.0]])])
def test_the_history_of_another_branch(kind, own_weights, other_weights):
    own, other = filled(kind)
    found = own.apply(Filter(own_weights, 0.5, {"uncond": other_weights}))
    exact = sum(w * h for w, h in zip(own_weights, features(own), strict=False))
    exact = exact + sum(w * h for w, h in zip(other_weights, features(other), strict=False)) + 0.5
    torch.testing.assert_close(found.double(), exact, atol=1e-6, rtol=1e-6)


def test_gradients_reach_features_and_numbers():
    leaf, branches = torch.ones(SHAPE, requires_grad=True), {}
    branches["a"], branches["b"] = (GraphHistory(2, branches=branches) for _ in range(2))
    for history in branches.values():
        history.append(leaf * 2, EntryInfo(0, True))
    weights, bias = torch.ones(1, 4, requires_grad=True), torch.zeros(4, requires_grad=True)
    branches["a"].apply(Filter(weights, bias, {"b": (3.0,)})).sum().backward()
    assert torch.equal(leaf.grad, torch.full(SHAPE, 8.0))
    assert torch.equal(weights.grad, torch.full((1, 4), 12.0))
    assert torch.equal(bias.grad, torch.full((4,), 6.0))


@BOTH
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Filter(torch.ones(5, 4)), "5 weights, but the history holds 3 features"),
        (Filter((), 0.0, {"uncond": (1.0,) * 3}), "3 weights for branch 'uncond', but the history holds 2 features"),
        (
            Filter((), 0.0, {"hidden": (1.0,)}),
            r"'hidden', which .* has no features yet\. .* here: uncond\. Take .* ctx.others",
        ),
        (Filter((), 0.0, {"cond": (1.0,)}), r"'cond', which is this branch itself or .* here: uncond\."),
        (Filter(torch.ones(1, 3)), r"weight 0 is \(3,\), which does not fit features of \(2, 3, 4\).*\(4,\)"),
        (Filter(torch.ones(1, 2, 2, 3, 4)), r"weight 0 is \(2, 2, 3, 4\)"),
        (Filter((1.0,), torch.ones(7)), r"bias is \(7,\)"),
        (Filter((1.0,), 0.0, {"uncond": torch.ones(1, 9)}), r"weight 0 for branch 'uncond' is \(9,\)"),
    ],
)
def test_what_does_not_fit_is_refused(kind, wrong, message):
    own, _ = filled(kind)
    with pytest.raises(PluginContractError, match=message):
        own.apply(wrong)


@BOTH
def test_branches_of_another_shape_do_not_mix(kind):
    own, other = filled(kind, count=1)
    other.append(torch.ones(1, 9, 4), EntryInfo(0, True))
    with pytest.raises(PluginContractError, match=r"'uncond', whose features are \(1, 9, 4\); .* \(2, 3, 4\)"):
        own.apply(Filter((1.0,), 0.0, {"uncond": (1.0,)}))


@BOTH
@pytest.mark.parametrize(
    "chosen", [Filter((0.5, 0.25)), Filter((1.0,)), Filter((1.0, -1.0, 0.5)), Filter(torch.ones(2, 4))]
)
def test_features_kept_in_another_dtype_come_back_in_their_own(kind, chosen):
    place = HistoryPlace(dtype=torch.bfloat16)
    own, _ = filled(kind, place=place)
    plain, _ = filled(kind)
    assert own.nbytes * 2 == plain.nbytes
    found = own.apply(chosen)
    assert found.dtype == own.feature(0).dtype == torch.float32
    torch.testing.assert_close(found, plain.apply(chosen), atol=0.03, rtol=0.01)


@BOTH
def test_features_kept_on_another_device_come_back(kind):
    history = kind(2, HistoryPlace(device=torch.device("meta")))
    history.append(torch.ones(SHAPE), EntryInfo(0, True))
    with pytest.raises(NotImplementedError, match="meta"):  # read from there, to be brought back to the CPU
        history.apply(Filter((0.5,)))


def test_filters_are_equal_when_their_numbers_are():
    one = Filter(torch.ones(1, 4), 0.5, {"a": (1.0,)})
    assert one == Filter(torch.ones(1, 4), 0.5, {"a": (1.0,)})
    assert hash(one) == hash(Filter(torch.ones(1, 4), 0.5, {"a": (1.0,)}))
    assert one != Filter(torch.zeros(1, 4), 0.5, {"a": (1.0,)})
    assert one != Filter((1.0,), 0.5, {"a": (1.0,)})
    assert one != Filter(torch.ones(1, 4), 0.5, {"b": (1.0,)})
    assert Filter((1.0,)) == Filter((1.0,))
    assert Filter((1.0,)) != "filter"


def test_numbers_are_moved_once():
    moved, table = Moved(), torch.rand(3, 2, 4)
    with pretended_device() as device:
        first = [moved(table[row], device.device, torch.float32) for row in (0, 1, 0)]
        assert first[0] is first[2]
        assert first[0] is not first[1]
        table[0] += 1
        changed = moved(table[0], device.device, torch.float32)
        assert changed is not first[0]
        assert torch.equal(changed.to("cpu", non_blocking=True), table[0])
    assert not device.waits
