"""The choice among ways of adding up."""

from __future__ import annotations

import pytest
import torch

from lesa_framework.runtime.features import fastest as module
from lesa_framework.runtime.features.fastest import fastest, weigh_fastest
from lesa_framework.runtime.features.weighing import Terms, weigh_plainly

FEATURE = torch.ones(2, 3)
TERMS = Terms((FEATURE,), (0.5,), 0.0, FEATURE.shape, FEATURE.dtype, FEATURE.device)


def timer(times):
    """Runs what it times, and says that it took as long as the test wants."""
    left = iter(times)

    def time(act, device):
        act()
        return next(left)

    return time


def fails(terms, instead):
    raise RuntimeError("no compiler")


def test_the_fastest_is_taken():
    ways = {"a": weigh_plainly, "b": weigh_plainly, "c": weigh_plainly}
    assert fastest(ways, TERMS, None, timer([3.0, 1.0, 2.0])) == "b"


def test_one_that_fails_is_left_out():
    assert fastest({"a": fails, "b": weigh_plainly}, TERMS, None, timer([3.0])) == "b"
    with pytest.raises(RuntimeError, match="no compiler"):
        fastest({"a": fails}, TERMS, None, timer([]))


def test_the_choice_is_made_once_for_each_kind_of_sum(monkeypatch):
    asked = []

    def time(act, device):
        assert device == TERMS.device
        asked.append(act())
        return float(-len(asked))

    monkeypatch.setattr(module, "_CHOSEN", {})
    monkeypatch.setattr(module, "_ways", lambda terms: {"plain": weigh_plainly, "other": weigh_plainly})
    monkeypatch.setattr(module, "time_on_cuda", time)
    for _ in range(3):
        assert torch.equal(weigh_fastest(TERMS)[0], 0.5 * FEATURE)
    assert len(asked) == 2
    weigh_fastest(TERMS, lambda: FEATURE)
    assert len(asked) == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_choice_on_a_gpu():
    there = FEATURE.cuda()
    terms = Terms((there,), (0.5,), 0.0, there.shape, there.dtype, there.device)
    assert torch.equal(weigh_fastest(terms, lambda: there)[0].cpu(), 0.5 * FEATURE)
