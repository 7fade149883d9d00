"""Block lists: every kind of container, lists that are read by number, and lists that nothing is saved by."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lesa_framework import PluginContractError, Tap, UnsupportedBackboneError
from lesa_framework.runtime.model.blocks import BlockLists
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, attach, check_backbone, even_grid
from lesa_framework.testing.conformance.traces import differences, traces
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.sessions import strategy


def call(model, latent, sigma, prompt):
    return model(latent, sigma, noise((latent.shape[0], 3, 4), prompt), return_dict=False)[0]


def check(adapter, make_model):
    check_backbone(adapter, make_model=make_model, call=call, make_latent=lambda size: noise((2, 4 * size, 4), 0))


class Rebuilt(TinyDiT):
    """A `TinyDiT` with another stack."""

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        level = torch.as_tensor(timestep, dtype=hidden_states.dtype).expand(hidden_states.shape[0])
        temb = self.time_embed(torch.stack([level, torch.sin(6 * level)], dim=-1))
        if encoder_hidden_states is not None:
            temb = temb + self.context_embed(encoder_hidden_states).mean(dim=1)
        sample = self.proj_out(self.norm_out(self.run_blocks(self.embed(hidden_states), temb), temb))
        return (sample,)


class Wrapped(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, pair):
        hidden, temb = pair
        return self.block(hidden, temb), temb


class SequentialDiT(Rebuilt):
    def __init__(self):
        super().__init__()
        self.stack = nn.Sequential(*(Wrapped(block) for block in self.transformer_blocks))
        del self.transformer_blocks, self.single_transformer_blocks

    def run_blocks(self, hidden, temb):
        return self.stack((hidden, temb))[0]


class NamedDiT(Rebuilt):
    def __init__(self):
        super().__init__()
        self.stack = nn.ModuleDict({f"block{number}": block for number, block in enumerate(self.transformer_blocks)})
        del self.transformer_blocks, self.single_transformer_blocks

    def run_blocks(self, hidden, temb):
        for block in self.stack.values():
            hidden = block(hidden, temb)
        return hidden


class StackAdapter(TinyDiTAdapter):
    model_class = "Rebuilt"
    blocks = ("stack",)


@pytest.mark.parametrize("model_class", [SequentialDiT, NamedDiT])
def test_other_containers_than_lists(model_class):
    check(StackAdapter, model_class)


class Pair(nn.Module):
    """A block that returns the prompt too, and has something that the model reads."""

    def __init__(self, block, width):
        super().__init__()
        self.block, self.scale = block, nn.Parameter(torch.full((width,), 1.5))

    def forward(self, hidden_states, words, temb):
        return words * 0.5, self.block(hidden_states, temb)


class NumberedDiT(Rebuilt):
    """Goes through its stack by number, uses what its loop sets, and reads from a block."""

    def __init__(self):
        super().__init__()
        self.stack = nn.ModuleList(Pair(block, 16) for block in self.transformer_blocks)
        del self.transformer_blocks, self.single_transformer_blocks

    def run_blocks(self, hidden, temb):
        words = temb
        for number in range(len(self.stack)):
            words, hidden = self.stack[number](hidden, words=words, temb=temb)
        assert words is not None
        return hidden * self.stack[0].scale


class NumberedAdapter(StackAdapter):
    block_returns = {"stack": ("words", "hidden_states")}  # noqa: RUF012 - as an author would write it


def test_a_list_that_is_read_by_number_gets_stand_ins():
    # The scale of a block is applied after the stack, so the feature is the norm's input.
    check(NumberedAdapter, NumberedDiT)


def test_a_stand_in_for_a_block_that_returns_one_thing_returns_that():
    class Single(Rebuilt):
        def run_blocks(self, hidden, temb):
            for number in range(len(self.transformer_blocks)):
                hidden = self.transformer_blocks[number](hidden, temb)
            return hidden

    class SingleAdapter(TinyDiTAdapter):
        model_class, blocks = "Rebuilt", ("transformer_blocks",)
        block_returns = {"transformer_blocks": ("hidden_states",)}  # noqa: RUF012

    check(SingleAdapter, Single)


def test_stand_ins_leave_no_trace_and_the_wrong_names_are_an_error():
    class Wrong(NumberedAdapter):
        block_returns = {"stack": ("words", "hidden")}  # noqa: RUF012

    model = NumberedDiT()
    before = traces(model)
    with attach(model, Wrong(), strategy([0]), even_grid(4)) as session:
        attached = traces(model)
        call(model, noise((1, 4, 4), 0), 1.0, 0)
        with pytest.raises(
            PluginContractError,
            match=r"Wrong: block_returns: the blocks of 'stack' were not called with \['hidden'\]. Valid: .*'words'",
        ):
            call(model, noise((1, 4, 4), 0), 0.75, 0)
        assert differences(attached, traces(model)) == []
        session.detach()
    assert differences(before, traces(model)) == []


def test_a_path_to_no_container_is_an_error():
    class Wrong(TinyDiTAdapter):
        blocks = ("transformer_blocks.0",)

    with pytest.raises(
        UnsupportedBackboneError,
        match=r"Wrong: blocks names 'transformer_blocks.0', which is a _Block in TinyDiT. "
        r"Valid: a ModuleList, Sequential or ModuleDict. .*it has norm, attention, modulation, mlp",
    ):
        attach(TinyDiT(), Wrong(), strategy(), even_grid(4))


@pytest.mark.parametrize("lists", [("transformer_blocks",), ("transformer_blocks", "single_transformer_blocks")])
def test_lists_without_a_block_are_an_error(lists):
    class Empty(TinyDiTAdapter):
        blocks = lists

    model = TinyDiT(layers=0)
    before = traces(model)
    with pytest.raises(
        UnsupportedBackboneError,
        match=r"Empty: blocks \[.*\] hold no block in TinyDiT.*Name the lists that hold the blocks, among embed",
    ):
        attach(model, Empty(), strategy(), even_grid(4))
    assert differences(before, traces(model)) == []


def test_one_list_may_be_empty():
    model = TinyDiT()
    model.single_transformer_blocks = nn.ModuleList()
    with attach(model, TinyDiTAdapter(), strategy([0]), even_grid(4)) as session, torch.no_grad():
        for sigma in even_grid(4)[:2]:
            call(model, noise((1, 4, 4), 0), sigma, 0)
    assert session.report.plan() == "FP"


@pytest.mark.parametrize("tap", list(Tap))
def test_a_list_that_the_forward_never_runs_is_an_error(tap):
    class Wrong(TinyDiTAdapter):
        blocks = ("transformer_blocks", "spare")

    model = TinyDiT()
    model.spare = nn.ModuleList([nn.Identity()])
    with (
        attach(model, Wrong(), strategy(), even_grid(4), tap),
        pytest.raises(
            PluginContractError,
            match=r"Wrong: TinyDiT called no block of \['spare'\] on a computed step.*Set blocks to .*"
            "Leave out a list that only some calls run: it then runs on predicted steps too.",
        ),
    ):
        model(torch.zeros(1, 2, 4), 1.0)


class Pairs(Rebuilt):
    """A list of lists, as many write it: each layer is its parts."""

    def __init__(self):
        super().__init__()
        firsts, seconds = self.transformer_blocks, self.single_transformer_blocks
        self.stack = nn.ModuleList(nn.ModuleList(pair) for pair in zip(firsts, seconds, strict=True))
        del self.transformer_blocks, self.single_transformer_blocks

    def run_blocks(self, hidden, temb):
        for first, second in self.stack:
            hidden = second(first(hidden, temb), temb)
        return hidden


def test_a_list_of_lists():
    class Unverified(StackAdapter):
        unverified = True  # the feature put back gives the output, or the first step is an error

    model, calls = Pairs(), []
    for pair in model.stack:
        pair[1].register_forward_hook(lambda *_: calls.append(1))
    with attach(model, Unverified(), strategy([0]), even_grid(4)) as session, torch.no_grad():
        for sigma in even_grid(4)[:2]:
            call(model, noise((1, 4, 4), 0), sigma, 0)
    assert session.report.plan() == "FP"
    assert len(calls) == 2


class Gaps(Rebuilt):
    """A list with gaps, as models keep the numbers of blocks that they were made without."""

    def __init__(self):
        super().__init__()
        self.stack = nn.ModuleList([self.transformer_blocks[0]])
        self.stack.add_module("1", None)
        self.stack.add_module("2", nn.ModuleList([self.single_transformer_blocks[0]]))
        del self.transformer_blocks, self.single_transformer_blocks

    def run_blocks(self, hidden, temb):
        blocks = list(self.stack._modules.values())
        if blocks:
            first, gap, (last,) = blocks
            assert gap is None
            hidden = last(first(hidden, temb), temb)
        return hidden


def test_a_list_with_gaps():
    model = Gaps()
    before = traces(model)
    with attach(model, StackAdapter(), strategy([0]), even_grid(4)) as session, torch.no_grad():
        for sigma in even_grid(4)[:2]:
            call(model, noise((1, 4, 4), 0), sigma, 0)
        assert session.report.plan() == "FP"
    assert differences(before, traces(model)) == []


def test_lists_within_lists_are_restored_after_an_interrupt_too():
    model = Pairs()
    lists = BlockLists(model, StackAdapter())
    parts = [list(pair) for pair in model.stack]
    lists.attach()
    watching = lists.watched(lambda: False)
    watching.__enter__()  # and never left
    assert [list(pair) for pair in model.stack] != parts
    lists.check()
    assert [list(pair) for pair in model.stack] == parts


def test_a_dictionary_of_lists_is_an_error():
    model = TinyDiT()
    model.stack = nn.ModuleDict({"image": model.transformer_blocks, "text": model.single_transformer_blocks})
    with pytest.raises(
        UnsupportedBackboneError,
        match=r"StackAdapter: blocks names 'stack' of TinyDiT, a ModuleDict of lists.*"
        r"Name the lists inside it: stack.image, stack.text\.",
    ):
        attach(model, StackAdapter(), strategy(), even_grid(4))


class CompiledBlock(nn.Module):
    """Its signature says nothing, as that of a compiled block."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        return self.block(*args, **kwargs)


def test_blocks_of_any_signature_are_bypassed():
    def make():
        model = TinyDiT()
        model.transformer_blocks = nn.ModuleList(CompiledBlock(block) for block in model.transformer_blocks)
        return model

    check(TinyDiTAdapter, make)
