"""On predicted steps, modules that nothing but the blocks reads rest; nothing else changes by a bit."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from lesa_framework import Tap
from lesa_framework.runtime.model import unread
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, attach
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.model.resting import COMPUTED, GRID, STEPS, Counted, assert_equal, awake, sample, steps_of
from tests.runtime.sessions import strategy


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
            # The step itself, awake, and twice with all at rest; for the first kind also with each of three others.
            assert model.calls["proj_out"] == (7 if words == 2 else 4)
            steps_of(model, encoder_hidden_states=noise((1, words, 4), 1))
            assert model.calls["context_embed"] == 2
        model.calls.clear()
        model(noise((1, 5, 4), 0), torch.tensor(GRID[0]), noise((1, 2, 4), 1), return_dict=False)
        assert model.calls["proj_out"] == 4  # forgotten


class Rotary(Counted):
    """Gives its blocks complex numbers, which torch makes of no tensor whose numbers share their memory."""

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        words = torch.view_as_complex(self.context_embed(encoder_hidden_states).unflatten(-1, (-1, 2)))
        hidden, temb = self.embed(hidden_states), self.time_embed(torch.stack([timestep, timestep]).expand(1, 2))
        for block in (*self.transformer_blocks, *self.single_transformer_blocks):
            hidden = block(hidden, temb + torch.view_as_real(words).flatten(-2).mean(dim=1))
        return (self.proj_out(self.norm_out(hidden, temb)),)


def test_what_the_form_of_the_nan_breaks_does_not_rest(monkeypatch):
    model = Rotary()
    outputs = sample(model, words=3)
    assert model.calls["context_embed"] == STEPS - 1
    assert_equal(outputs, awake(monkeypatch, Rotary, words=3))


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


def test_a_hook_that_comes_later_is_called():
    model, heard = TinyDiT(), []
    with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID), torch.no_grad():
        steps_of(model)
        model.embed.register_forward_hook(lambda *_: heard.append(1))
        steps_of(model)
    assert len(heard) == STEPS


def test_whole_numbers_and_other_numbers_may_differ_from_step_to_step():
    class Stepped(Counted):
        def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True, step=0, scale=1.0):
            return super().forward(hidden_states, timestep, encoder_hidden_states, return_dict)

    model = Stepped()
    with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID), torch.no_grad():
        for index, sigma in enumerate(GRID[:-1]):
            model(noise((1, 5, 4), 0), torch.tensor(sigma), step=index, scale=0.1 + sigma)
            if index == 0:
                model.calls.clear()
    assert model.calls["embed"] == 2


def test_a_number_of_zero_is_a_kind_of_its_own(monkeypatch):
    class Scaled(Reading):
        def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True, scale=0.0):
            return super().forward(hidden_states, timestep, encoder_hidden_states, return_dict, add=scale > 0)

    model = Scaled()
    with attach(model, TinyDiTAdapter(), strategy(COMPUTED), GRID), torch.no_grad():
        steps_of(model, encoder_hidden_states=noise((1, 3, 4), 1), scale=0.0)
        found = steps_of(model, encoder_hidden_states=noise((1, 3, 4), 1), scale=0.5)
    assert_equal(found, awake(monkeypatch, Scaled, words=3, scale=0.5))


def test_a_model_that_writes_to_its_buffers_is_left_alone():
    class Remembering(Counted):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(16))

        def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
            self.mean.lerp_(self.time_embed(torch.ones(2)), 0.1)
            return super().forward(hidden_states, timestep, encoder_hidden_states, return_dict)

    model = Remembering()
    sample(model)
    assert model.calls["embed"] == 5
    assert not model.mean.isnan().any()


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("write", ["erase", "erase uncounted", "keep NaN"])
def test_a_module_whose_output_is_written_to_runs(monkeypatch, write, inference):
    class Erasing(Counted):
        def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
            words = self.context_embed(encoder_hidden_states)
            if write == "keep NaN":  # as GLM-Image drops tokens, whose NaN stays NaN
                words[torch.ones(words.shape[:2], dtype=torch.bool)] *= 0.0
                words = torch.zeros(())
            else:
                (words.data if write == "erase uncounted" else words)[torch.ones(words.shape, dtype=torch.bool)] = 0.0
            (output,) = super().forward(hidden_states, timestep, None, return_dict=False)
            return (output + words.mean(),)

    model = Erasing()
    with torch.inference_mode(inference), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")  # those that are errors show the model's writing by themselves
        outputs = sample(model, words=3)
    assert not told  # torch warns of writing to one number under many names
    assert unread._nan(torch.float32, torch.device("cpu")).isnan()  # of all sessions
    assert model.calls["context_embed"] == 5
    assert model.calls["embed"] == 2
    assert_equal(outputs, awake(monkeypatch, Erasing, words=3))


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
