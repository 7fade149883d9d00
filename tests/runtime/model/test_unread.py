"""On predicted steps, modules that nothing but the blocks reads rest; nothing else changes by a bit."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lesa_framework import Tap
from lesa_framework.runtime.model import unread
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


@pytest.mark.parametrize("tap", [Tap.PRE_HEAD, Tap.POST_NORM])
def test_what_only_the_blocks_read_rests(tap, monkeypatch):
    model = Counted()
    outputs = sample(model, tap, words=3)
    # The first step is not counted. The norm reads the embeddings of time and prompt too; after it nothing does.
    read = 5 if tap is Tap.PRE_HEAD else 2
    assert model.calls == {"embed": 2, "time_embed": read, "context_embed": read, "norm_out": 5, "proj_out": 5}
    assert_equal(outputs, awake(monkeypatch, TinyDiT, tap, words=3))


class Reading(Counted):
    """Adds its prompt's embedding to the output, if asked to; else only its blocks read it."""

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True, add=False):
        words = self.context_embed(encoder_hidden_states).mean(dim=1)
        hidden, temb = self.embed(hidden_states), self.time_embed(torch.stack([timestep, timestep]).expand(1, 2))
        for block in (*self.transformer_blocks, *self.single_transformer_blocks):
            hidden = block(hidden, temb + words)
        return (self.proj_out(self.norm_out(hidden + words if add else hidden, temb)) + (words.mean() if add else 0),)


def test_a_call_of_another_kind_is_looked_at_anew(monkeypatch):
    model = Reading()
    with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID), torch.no_grad():
        first = steps_of(model, encoder_hidden_states=noise((1, 3, 4), 1))
        assert model.calls["context_embed"] == 2
        second = steps_of(model, encoder_hidden_states=noise((1, 3, 4), 1), add=True)
        assert model.calls["context_embed"] == 5
        longer = steps_of(model, encoder_hidden_states=noise((1, 7, 4), 1))
        assert model.calls["context_embed"] == 2
    assert_equal(first, awake(monkeypatch, Reading, words=3))
    assert_equal(second, awake(monkeypatch, Reading, words=3, add=True))
    assert_equal(longer, awake(monkeypatch, Reading, words=7))


def test_another_shape_is_looked_at_once_and_only_so_many_are_remembered(monkeypatch):
    model = Reading()
    monkeypatch.setattr(unread, "_KINDS", 3)
    with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID), torch.no_grad():
        for words in (2, 3, 4, 5):
            model.calls.clear()
            model(noise((1, 5, 4), 0), torch.tensor(GRID[0]), noise((1, words, 4), 1), return_dict=False)
            # The step itself, awake and with all at rest; for the first kind also with each of four children at rest.
            assert model.calls["proj_out"] == (7 if words == 2 else 3)
            steps_of(model, encoder_hidden_states=noise((1, words, 4), 1))
            assert model.calls["context_embed"] == 2
        model.calls.clear()
        model(noise((1, 5, 4), 0), torch.tensor(GRID[0]), noise((1, 2, 4), 1), return_dict=False)
        assert model.calls["proj_out"] == 3  # forgotten


def test_a_shape_in_which_more_is_read_has_nothing_at_rest(monkeypatch):
    class Long(Reading):
        def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
            add = encoder_hidden_states.shape[1] > 5
            return super().forward(hidden_states, timestep, encoder_hidden_states, return_dict, add)

    model = Long()
    with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID), torch.no_grad():
        steps_of(model, encoder_hidden_states=noise((1, 3, 4), 1))
        long = steps_of(model, encoder_hidden_states=noise((1, 7, 4), 1))
        assert model.calls["context_embed"] == 5
    assert_equal(long, awake(monkeypatch, Long, words=7))


def test_a_module_with_somebodys_hook_runs():
    model = Counted()
    model.embed.register_forward_hook(lambda *_: None)
    sample(model)
    assert model.calls["embed"] == 5


class Twice(Counted):
    """Calls a module twice, and one that returns whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = Numbers()
        self.numbers.forward = self._counting("numbers", self.numbers.forward)

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        self.embed(hidden_states)
        self.numbers(hidden_states)
        return super().forward(hidden_states, timestep, encoder_hidden_states, return_dict)


class Numbers(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return torch.arange(latent.shape[1])


def test_what_is_called_twice_or_returns_no_floats_runs():
    model = Twice()
    sample(model)
    assert model.calls["embed"] == 10
    assert model.calls["numbers"] == 5


def test_a_model_that_looks_at_an_output_keeps_it(monkeypatch):
    class Careful(Counted):
        def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
            words = self.context_embed(hidden_states)
            if words.isnan().any():
                raise ValueError("NaN")
            return super().forward(hidden_states, timestep, encoder_hidden_states, return_dict)

    model = Careful()
    assert_equal(sample(model), awake(monkeypatch, Careful))
    assert model.calls["context_embed"] == 5
    assert model.calls["embed"] == 2


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
