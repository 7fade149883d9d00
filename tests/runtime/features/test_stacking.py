"""The table of weights for each channel."""

from __future__ import annotations

import torch

from lesa_framework.runtime.features.stacking import table_of
from lesa_framework.runtime.features.weighing import Terms
from lesa_framework.testing.tiny_pipeline import noise

CPU = torch.device("cpu")


def terms(weights, bias=0.25) -> Terms:
    features = tuple(noise((2, 5, 6), seed) for seed in range(len(weights)))
    return Terms(features, tuple(weights), bias, features[0].shape, torch.float32, CPU)


def test_has_a_row_for_each_weight_and_one_for_the_bias():
    row = noise((6,), 3)
    table = table_of(terms((row, 0.5, torch.tensor([2.0])), bias=torch.full((6,), -1.0)))
    assert table.dtype is torch.float32
    assert torch.equal(table, torch.stack([row, *(torch.full((6,), each) for each in (0.5, 2.0, -1.0))]))


def test_is_made_once_for_rows_of_the_same_tensor():
    weights = noise((2, 6), 4)
    assert table_of(terms(weights)) is table_of(terms(weights))


def test_is_made_anew_when_a_weight_is_another_or_was_written_to():
    weights = noise((2, 6), 5)
    first = table_of(terms(weights))
    assert not torch.equal(table_of(terms(weights.flip(0))), first)
    assert not torch.equal(table_of(terms(weights, bias=0.5)), first)
    weights.mul_(2.0)
    assert torch.equal(table_of(terms(weights))[:2], first[:2] * 2.0)


def test_memory_that_was_freed_is_nobodys_key():
    for seed in range(20):
        weights = noise((2, 6), seed)
        assert torch.equal(table_of(terms(weights))[:2], weights)
        del weights


def test_weights_whose_changes_nobody_counts_are_stacked_each_time():
    with torch.inference_mode():
        weights = noise((2, 6), 6).clone()
        first = table_of(terms(weights))
        weights.mul_(2.0)
        assert torch.equal(table_of(terms(weights))[:2], first[:2] * 2.0)
    learns = noise((6,), 7).requires_grad_()
    assert table_of(terms((learns, 0.5))) is not table_of(terms((learns, 0.5)))
