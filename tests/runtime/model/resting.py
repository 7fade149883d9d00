"""A model that counts the calls of its children, and runs in which some of them rest, or none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from lesa_framework import Tap
from lesa_framework.runtime.model.unread import Unread
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, attach, even_grid
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.sessions import strategy

STEPS, COMPUTED = 6, (0, 1, 4)
GRID = even_grid(STEPS)


class Counted(TinyDiT):
    """Counts the calls of its children: without hooks, which would keep them awake."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        for name, child in self.named_children():
            if not isinstance(child, nn.ModuleList):
                child.forward = self._counting(name, child.forward)

    def _counting(self, name: str, forward: Any) -> Any:
        def counting(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return forward(*args, **kwargs)

        return counting


def sample(model: nn.Module, tap: Tap = Tap.PRE_HEAD, words: int | None = None, **call: Any) -> list[Tensor]:
    """The outputs of a run; a model that counts its calls does so from the second step on."""
    if words is not None:
        call["encoder_hidden_states"] = noise((1, words, 4), 1)
    with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID, tap), torch.no_grad():
        return steps_of(model, **call)


def steps_of(model: nn.Module, **call: Any) -> list[Tensor]:
    outputs = []
    for index, sigma in enumerate(GRID[:-1]):
        outputs.append(model(noise((1, 5, 4), 0) * sigma, torch.tensor(sigma), return_dict=False, **call)[0])
        if index == 0 and isinstance(model, Counted):
            model.calls.clear()
    return outputs


def awake(monkeypatch, make, *args: Any, **kwargs: Any) -> list[Tensor]:
    """The outputs where no module ever rests."""
    with monkeypatch.context() as patched:
        patched.setattr(Unread, "learn", lambda *_: None)
        return sample(make(), *args, **kwargs)


def assert_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    assert all(map(torch.equal, found, expected))
