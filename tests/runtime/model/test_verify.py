"""Unverified layouts: what `always` cannot see is an error on the first computed step."""

from __future__ import annotations

import contextlib
import copy
import io
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from lesa_framework import PluginContractError, Tap, UnsupportedBackboneError
from lesa_framework.runtime.model.verify import copied, verify
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, attach, check_backbone, even_grid
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.sessions import strategy


class Unverified(TinyDiTAdapter):
    unverified = True


class AroundDiT(TinyDiT):
    """Adds to its output what its second list made: half of the stack goes around the final norm."""

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        temb = self.time_embed(torch.tensor([[timestep, 0.5]]))
        hidden = side = self.embed(hidden_states)
        for block in self.transformer_blocks:
            hidden = block(hidden, temb)
        for block in self.single_transformer_blocks:
            side = block(side, temb)
        return (self.proj_out(self.norm_out(hidden, temb) + side),)


def run(model, adapter, tap=Tap.PRE_HEAD, steps=1, computed=(0, 2), **call):
    recorder = Recorder()
    with attach(model, adapter, strategy(computed), even_grid(4), tap, observers=[recorder]):
        output = None
        for sigma in even_grid(4)[:steps]:
            output = model(noise((1, 4, 4), 0), sigma, return_dict=False, **call)[0]
    return output, recorder.records


verified_taps = pytest.mark.parametrize("tap", [Tap.PRE_HEAD, Tap.POST_NORM])


@verified_taps
def test_a_list_that_goes_around_the_head(tap):
    with pytest.raises(
        PluginContractError,
        match=r"Unverified: putting the feature back does not give the output of AroundDiT.*transformer_blocks, "
        r"single_transformer_blocks bypassed and 'norm_out' given what it had.*off by .* times its norm.*"
        r"Check blocks.*Check head_argument",
    ):
        run(AroundDiT(), Unverified(), tap)


def test_only_unverified_layouts_are_checked():
    assert run(AroundDiT(), TinyDiTAdapter())[0].shape == (1, 4, 4)
    assert run(AroundDiT(), Unverified(), Tap.OUTPUT)[0].shape == (1, 4, 4)  # what comes back there is the output


def test_the_list_left_out_it_fits():
    class Half(Unverified):
        blocks = ("transformer_blocks",)

    assert len(run(AroundDiT(), Half(), steps=4)[1]) == 4


def test_the_wrong_argument_of_the_head():
    class Wrong(Unverified):
        head_argument = "temb"

    with pytest.raises(PluginContractError, match=r"Wrong: putting the feature back does not give"):
        run(TinyDiT(), Wrong())


class Doubling(nn.Module):
    """Something in front of the stack, which one could take for its end."""

    def forward(self, hidden: Tensor) -> Tensor:
        return 2 * hidden


class PreludeDiT(TinyDiT):
    def __init__(self):
        super().__init__()
        self.embed = nn.Sequential(self.embed, Doubling())


@pytest.mark.parametrize("tap", list(Tap))
@pytest.mark.parametrize("verified", [False, True])
def test_a_head_in_front_of_the_stack(tap, verified):
    class Wrong(TinyDiTAdapter):
        head = "embed.1"
        unverified = not verified

    with pytest.raises(
        PluginContractError,
        match=r"Wrong: PreludeDiT called blocks of \['transformer_blocks', 'single_transformer_blocks'\] after "
        r"'embed.1', the head; .*Set head to the module after the last block",
    ):
        run(PreludeDiT(), Wrong(), tap)


def test_it_keeps_the_contract():
    def call(model, latent, sigma, prompt):
        return model(latent, sigma, noise((latent.shape[0], 3, 4), prompt), return_dict=False)[0]

    check_backbone(Unverified, make_model=TinyDiT, call=call, make_latent=lambda size: noise((2, 4 * size, 4), 0))


@verified_taps
def test_it_runs_once_in_a_session_and_no_observer_sees_it(tap):
    model, calls, heads = TinyDiT(), [], []
    model.register_forward_pre_hook(lambda *_: calls.append(len(calls)))
    model.proj_out.register_forward_hook(lambda *_: heads.append(calls[-1]))
    output, records = run(model, Unverified(), tap, steps=4)
    assert heads.count(0) > 1  # that of the step, and those that look at the model
    assert heads[heads.count(0) :] == [1, 2, 3]
    assert [record.index for record in records] == [0, 1, 2, 3]
    assert torch.equal(output, run(TinyDiT(), TinyDiTAdapter(), tap, steps=4)[0])


class NoisyDiT(TinyDiT):
    """Dropout in the head; what it was given is written to."""

    def __init__(self):
        super().__init__()
        self.proj_out = nn.Sequential(nn.Dropout(0.5), self.proj_out)

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        hidden_states += 1
        return super().forward(hidden_states, timestep, encoder_hidden_states, return_dict)


@pytest.mark.parametrize("training", [False, True])
def test_random_numbers_and_the_arguments_are_as_without_it(training):
    left = []
    for adapter in (TinyDiTAdapter(), Unverified()):
        torch.manual_seed(3)
        latent, model = noise((1, 4, 4), 0), NoisyDiT().train(training)
        with attach(model, adapter, strategy([0]), even_grid(4)), torch.no_grad():
            output = model(latent, 1.0)[0]
        left.append((latent, output, torch.rand(4)))
    for one, other in zip(*left, strict=True):
        assert torch.equal(one, other)


def test_gradients_of_the_computed_step_are_as_without_it():
    grads = []
    for adapter in (TinyDiTAdapter(), Unverified()):
        model = TinyDiT()
        run(model, adapter)[0].square().sum().backward()
        grads.append([weight.grad for weight in model.parameters()])
    for one, other in zip(*grads, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)
    assert any(grad is not None for grad in grads[1])


class NumberedDiT(TinyDiT):
    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        temb = self.time_embed(torch.tensor([[timestep, 0.5]]))
        hidden = self.transformer_blocks[0](self.embed(hidden_states), temb)
        for block in self.single_transformer_blocks:
            hidden = block(hidden, temb)
        return (self.proj_out(self.norm_out(hidden, temb)),)


@pytest.mark.parametrize(("adapter", "steps"), [(Unverified, 1), (TinyDiTAdapter, 2)])
def test_an_error_of_the_model_while_its_blocks_are_bypassed_says_so(adapter, steps):
    with pytest.raises(IndexError) as caught:
        run(NumberedDiT(), adapter(), steps=steps)
    (note,) = caught.value.__notes__
    assert note.startswith(
        f"{adapter.__name__}: this happened in NumberedDiT while its blocks were bypassed, as on every predicted step: "
        "['transformer_blocks', 'single_transformer_blocks'] are empty. "
    )
    assert "give block_returns for that list" in note
    assert "name all of the lists" in note


def test_the_note_tells_stand_ins_from_empty_lists():
    class Swapped(TinyDiTAdapter):
        blocks = ("single_transformer_blocks", "transformer_blocks")
        block_returns = {"single_transformer_blocks": ("hidden_states",)}  # noqa: RUF012

    with pytest.raises(IndexError) as caught:
        run(NumberedDiT(), Swapped(), steps=2)
    (note,) = caught.value.__notes__
    assert "['transformer_blocks'] are empty and ['single_transformer_blocks'] hold stand-ins. " in note


def test_an_error_on_a_computed_step_has_no_note():
    model = TinyDiT()
    with (
        attach(model, Unverified(), strategy(), even_grid(4)),
        pytest.raises(RuntimeError) as caught,
    ):
        model(noise((1, 4, 5), 0), 1.0)
    assert not hasattr(caught.value, "__notes__")


def test_an_attached_model_is_not_saved_with_its_cache():
    model = TinyDiT()
    with attach(model, TinyDiTAdapter(), strategy(), even_grid(4)):
        with pytest.raises(
            UnsupportedBackboneError, match=r"TinyDiT: torch.save\(model\) or pickle would save.*detach\(\) first, or"
        ):
            torch.save(model, io.BytesIO())
        torch.save(model.state_dict(), io.BytesIO())
        torch.save(copy.deepcopy(model), io.BytesIO())  # a copy is bare
    torch.save(model, io.BytesIO())


def verified(output, *replays):
    """Compare an output with what replays return in turn; how often the model ran."""
    ran = []

    def replay():
        ran.append(torch.is_grad_enabled())
        return replays[min(len(ran), len(replays)) - 1]

    verify(TinyDiT(), Unverified(), output, replay)
    assert not any(ran)
    return len(ran)


TEN = torch.full((4,), 10.0)


def test_rounding_is_no_difference():
    assert verified(TEN, TEN) == 1
    assert verified(TEN, TEN * 1.0009) == 1
    assert verified(torch.zeros(4), torch.zeros(4)) == 1
    assert verified(torch.tensor([1000.0]), torch.tensor([1001.0])) == 1


@pytest.mark.parametrize(
    ("expected", "found", "off"),
    [
        (TEN, TEN * 1.0015, r"0\.0015"),
        (TEN, TEN * 3, "2"),
        ((TEN, TEN), (TEN * 1.5, TEN), r"0\.5"),
        ([TEN, TEN], [TEN * 1.25, TEN * 1.5], r"0\.5"),
        (TEN, TEN[:3], "inf"),
        (TEN, (TEN, TEN), "inf"),
        (torch.zeros(4), TEN, "inf"),
        (TEN, TEN * torch.nan, "inf"),
        (torch.full((4,), 6e4).half(), torch.full((4,), 3e4).half(), r"0\.5"),  # its norm is beyond float16
    ],
)
def test_a_difference_is_told_by_the_greatest_relative_distance(expected, found, off):
    with pytest.raises(PluginContractError, match=f"the output is off by {off} times its norm"):
        verified(expected, found)


def test_two_replays_within_rounding_are_the_same():
    with pytest.raises(PluginContractError, match="the output is off by"):
        verified(torch.tensor([1.0]), torch.tensor([1000.0]), torch.tensor([1001.0]))


def test_what_is_not_the_same_twice_or_not_finite_cannot_be_verified():
    assert verified(TEN, TEN * 2, TEN * 3) == 2
    assert verified(TEN * torch.nan, TEN) == 1
    assert verified(TEN * torch.inf, TEN) == 1


def test_arguments_are_copied_without_their_graph():
    leaf = torch.ones(2, requires_grad=True)
    given = {"latent": leaf, "more": [leaf, (leaf, "text")], "number": 3}
    twin = copied(given)
    assert twin["number"] == 3
    assert type(twin["more"][1]) is tuple
    for one in (twin["latent"], twin["more"][0], twin["more"][1][0]):
        assert torch.equal(one, leaf)
        assert one.data_ptr() != leaf.data_ptr()
        assert not one.requires_grad


def test_an_output_without_tensors_is_the_same():
    assert verified("text", "text") == 1


def test_random_numbers_of_the_outputs_devices_are_put_back(monkeypatch):
    model, on_gpu, asked = TinyDiT(), SimpleNamespace(device=torch.device("cuda", 1)), []

    def fork(devices):
        asked.append(devices)
        return contextlib.nullcontext()

    monkeypatch.setattr(torch.random, "fork_rng", fork)
    monkeypatch.setattr("lesa_framework.runtime.model.verify.tensors", lambda output: output)
    monkeypatch.setattr("lesa_framework.runtime.model.verify._distance", lambda found, expected: 0.0)
    verify(model, Unverified(), [TEN, on_gpu, on_gpu], list)
    assert asked == [[torch.device("cuda", 1)]]
