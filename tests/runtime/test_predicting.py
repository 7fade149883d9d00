"""At the tap `output` a prediction leaves the model: it is the sampler's, and copied where it has to be."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lesa_framework import AffinePredictor, Filter, Predictor, Reuse, Tap
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, attach, even_grid
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.sessions import strategy

GRID = even_grid(4)


class Half(AffinePredictor):
    """Adds up, which makes a tensor of its own."""

    def filter(self, entries, ctx):
        return Filter((0.5,))


class View(Predictor):
    """Gives the history's memory away."""

    def predict(self, history, ctx):
        return history.feature(0)


class Keeps(Predictor):
    """Gives away what it will return again."""

    def __init__(self):
        self.kept = None

    def predict(self, history, ctx):
        self.kept = history.feature(0).clone() if self.kept is None else self.kept
        return self.kept


class Copies(TorchDispatchMode):
    """Counts copies of tensors."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten.clone.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", [Reuse, Half, View, Keeps])
def test_the_sampler_may_write_to_what_it_gets(kind):
    model, latent = TinyDiT(), noise((1, 5, 4), 0)
    with attach(model, TinyDiTAdapter(), strategy([0], kind()), GRID, Tap.OUTPUT), torch.no_grad():
        first = model(latent, GRID[0]).sample.clone()
        model(latent, GRID[1]).sample.zero_()
        model(latent, GRID[2], return_dict=False)[0].zero_()
        found = model(latent, GRID[3]).sample
    assert torch.equal(found, 0.5 * first if kind is Half else first)


@pytest.mark.parametrize(("kind", "copies"), [(Reuse, 1), (Half, 0), (View, 1), (Keeps, 1)])
def test_only_what_others_may_hold_is_copied(kind, copies):
    model, latent = TinyDiT(), noise((1, 5, 4), 0)
    with attach(model, TinyDiTAdapter(), strategy([0], kind()), GRID, Tap.OUTPUT), torch.no_grad():
        for sigma in GRID[:2]:
            model(latent, sigma)
        with Copies() as found:
            model(latent, GRID[2])
    assert found.count == copies
