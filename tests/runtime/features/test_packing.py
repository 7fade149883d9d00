"""Eight bits: the samples of a batch do not change each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lesa_framework import EntryInfo, Filter, HistoryPlace
from lesa_framework.runtime.features import history as histories
from lesa_framework.runtime.features.history import History
from lesa_framework.runtime.features.packing import EIGHT_BITS, packed, unpacked
from lesa_framework.testing.tiny_pipeline import noise
from lesa_framework.training.graph_history import GraphHistory

PLACE = HistoryPlace(dtype=EIGHT_BITS)
SHAPE = (1, 5, 8)
BOTH = pytest.mark.parametrize("kind", [History, GraphHistory])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])


def kept(kind: type[History], feature: Tensor) -> Tensor:
    history = kind(1, PLACE)
    history.append(feature, EntryInfo(0, True))
    return history.feature(0)


@BOTH
@DTYPES
@pytest.mark.parametrize("shape", [SHAPE, (1, 3, 4, 4), (1, 6)])
def test_a_large_sample_does_not_coarsen_a_small_one(kind, dtype, shape):
    one, other = (noise(shape, seed).to(dtype) for seed in range(2))
    both = kept(kind, torch.cat([one, 100 * other]))
    assert both.dtype is dtype
    assert torch.equal(both[:1], kept(kind, one))
    assert torch.equal(both[1:], kept(kind, 100 * other))


@BOTH
@DTYPES
def test_infinity_stays_in_its_sample(kind, dtype):
    one, other = (noise(SHAPE, seed).to(dtype) for seed in range(2))
    other[0, 0, 0] = torch.inf
    both = kept(kind, torch.cat([one, other]))
    assert both[0].isfinite().all()
    assert torch.equal(both[:1], kept(kind, one))


@DTYPES
@pytest.mark.parametrize("size", [1e-2, 1.0, 1e3])
def test_one_sample_is_kept_as_with_one_scale_for_all(dtype, size):
    feature = (size * noise((1, 64, 32), 0)).to(dtype)
    scale = feature.abs().amax().float() / 448
    expected = (feature / scale).to(EIGHT_BITS).to(dtype) * scale
    assert expected.dtype is dtype
    assert torch.equal(unpacked(*packed(feature), dtype), expected)
    assert torch.equal(kept(History, feature), expected)


def test_scales_are_one_number_for_each_sample():
    stored, scale = packed(noise((3, 5, 8), 0).bfloat16())
    assert (stored.shape, stored.dtype) == ((3, 5, 8), EIGHT_BITS)
    assert (scale.shape, scale.dtype) == ((3, 1, 1), torch.float32)


@pytest.mark.parametrize("weights", [(2.0, -1.0), (3e38, 3e38)], ids=["finite", "replaced"])
def test_a_prediction_unpacks_each_feature_once(weights, monkeypatch):
    found = []

    def unpack(stored: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
        found.append(scale)
        return unpacked(stored, scale, dtype)

    monkeypatch.setattr(histories, "unpacked", unpack)
    history = History(3, PLACE)
    for step in range(3):
        history.append(noise(SHAPE, step), EntryInfo(step, True))
    _, replaced = history.predict(Filter(weights), check=True)
    assert len(found) == 2
    assert bool(torch.as_tensor(replaced).any()) is (weights[0] > 2)
