"""Modules that rest, and others: threads, whoever fails, copies, derived classes and gradients."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lesa_framework.runtime.model.unread import Unread
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, attach
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.model.resting import COMPUTED, GRID, Counted, assert_equal, awake, steps_of
from tests.runtime.sessions import strategy


def test_a_class_that_somebody_derives_meanwhile_stays():
    model = TinyDiT()
    with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID), torch.no_grad():
        steps_of(model)
        nn.utils.parametrizations.weight_norm(model.embed)
        expected = model.embed.weight.clone()
    assert nn.utils.parametrize.is_parametrized(model.embed)
    assert torch.equal(model.embed.weight, expected)
    assert model(noise((1, 5, 4), 0), torch.tensor(0.5)).sample.isfinite().all()


def test_an_interrupt_while_it_looks_leaves_nothing(monkeypatch):
    model = Counted()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID), torch.no_grad():
        with monkeypatch.context() as patched:
            patched.setattr(torch, "equal", interrupt)
            with pytest.raises(KeyboardInterrupt):
                steps_of(model)
        assert not model.embed(noise((1, 5, 4), 0)).isnan().any()
        again = steps_of(model)
    assert_equal(again, awake(monkeypatch, TinyDiT))


def test_another_thread_gets_what_the_module_computes():
    latent, model, found = noise((1, 5, 4), 0), TinyDiT(), []

    def ask(*_: Any) -> None:
        thread = threading.Thread(target=lambda: found.append(model.embed(latent)))
        thread.start()
        thread.join()
        found.append(model.embed(latent))

    with attach(model, TinyDiTAdapter(), strategy([0]), GRID), torch.no_grad():
        model(latent, torch.tensor(GRID[0]))
        model.norm_out.register_forward_pre_hook(ask)
        model(latent, torch.tensor(GRID[1]))
        expected = model.embed(latent)
    theirs, here = found
    assert here.isnan().all()  # it rests in the thread of the predicted step
    assert torch.equal(theirs, expected)


def test_nothing_rests_after_a_call_that_failed(monkeypatch):
    class Failing(Counted):
        fails = False

        def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
            output = super().forward(hidden_states, timestep, encoder_hidden_states, return_dict)
            if self.fails:
                raise KeyboardInterrupt
            return output

    model = Failing()
    with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID), torch.no_grad():
        steps_of(model)
        for sigma in GRID[:3]:
            model.fails = sigma == GRID[2]
            with pytest.raises(KeyboardInterrupt) if model.fails else torch.no_grad():
                model(noise((1, 5, 4), 0) * sigma, torch.tensor(sigma), return_dict=False)
        model.fails = False
        assert not model.embed(noise((1, 5, 4), 0)).isnan().any()
        again = steps_of(model)
    assert_equal(again, awake(monkeypatch, TinyDiT))


def test_the_model_is_left_as_it_was_and_copies_are_bare():
    model = TinyDiT()
    classes = [type(child) for child in model.children()]
    with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID), torch.no_grad():
        steps_of(model)
        assert type(model.embed).__name__ == "Linear"
        assert isinstance(model.embed, nn.Linear)
        assert [type(child) for child in copy.deepcopy(model).children()] == classes
    assert [type(child) for child in model.children()] == classes


def test_gradients_are_those_of_a_run_where_all_modules_run(monkeypatch):
    def gradient(rests: bool) -> Tensor:
        model = TinyDiT()
        latent = noise((1, 5, 4), 0).requires_grad_()
        with monkeypatch.context() as patched:
            if not rests:
                patched.setattr(Unread, "learn", lambda *_: None)
            with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID):
                total = sum(
                    model(latent * sigma, torch.tensor(sigma), return_dict=False)[0].sum() for sigma in GRID[:-1]
                )
        return torch.autograd.grad(total, latent)[0]

    assert torch.equal(gradient(rests=True), gradient(rests=False))
