from __future__ import annotations

import torch

from lesa_framework import EntryInfo, Reuse, StepContext
from lesa_framework.runtime.features.history import History
from lesa_framework.testing import check_predictor, even_grid
from lesa_framework.testing.tiny_pipeline import noise
from lesa_reuse.predictor import ReuseConfig


def test_keeps_its_contract():
    check_predictor(ReuseConfig())


def test_is_the_newest_computed_feature_bit_for_bit():
    history = History(Reuse.depth)
    for step in range(3):
        history.append(noise((2, 3, 4), step), EntryInfo(step, True))
    ctx = StepContext(9, even_grid(12), entries=history.entries)
    assert torch.equal(Reuse().predict(history, ctx), noise((2, 3, 4), 2))


def test_keeps_one_computed_feature():
    assert (Reuse.depth, Reuse.records, Reuse().min_history(0)) == (1, "computed", 1)
