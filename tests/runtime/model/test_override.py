"""Sessions beside accelerate's hooks, in the orders in which a user can get them."""

from __future__ import annotations

import functools
from functools import partial

import pytest
import torch
from torch import nn

from lesa_framework.runtime.model.override import WRAPPED, ForwardOverride
from lesa_framework.testing import TinyDiT, TinyPipeline
from lesa_framework.testing.conformance.traces import differences, traces
from tests.runtime.sessions import COMPUTED, cached, fresh

hooks = pytest.importorskip("accelerate.hooks")


class Spy(hooks.ModelHook):
    """Counts the calls that it sees, as an offloading hook would."""

    def __init__(self) -> None:
        self.calls = 0

    def pre_forward(self, module, *args, **kwargs):
        self.calls += 1
        return args, kwargs


def offload(model: TinyDiT) -> Spy:
    spy = Spy()
    hooks.add_hook_to_module(model, spy)
    return spy


def bare_traces_with_hook(*, removed: bool) -> list[str]:
    """Names on the instance of a model that was hooked without us."""
    model = TinyDiT()
    offload(model)
    if removed:
        hooks.remove_hook_from_module(model)
    return sorted(model.__dict__)


def test_hooked_before_attaching():
    pipe = TinyPipeline(TinyDiT())
    spy = offload(pipe.transformer)
    before = traces(pipe.transformer)
    with cached(pipe):
        assert torch.equal(pipe(), fresh())
        assert spy.calls == 12
    assert differences(before, traces(pipe.transformer)) == []


def test_a_hook_that_comes_and_goes_with_every_run():
    # What diffusers' enable_model_cpu_offload does after each call of the pipeline.
    pipe = TinyPipeline(TinyDiT())
    offload(pipe.transformer)
    with cached(pipe) as session:
        for prompt in range(3):
            assert torch.equal(pipe(prompt), fresh(prompt=prompt))
            assert session.report.nfe == len(COMPUTED)
            hooks.remove_hook_from_module(pipe.transformer, recurse=True)
            offload(pipe.transformer)
    assert sorted(pipe.transformer.__dict__) == bare_traces_with_hook(removed=False)
    assert torch.equal(pipe(), TinyPipeline(TinyDiT())())


def test_hook_removed_while_attached():
    pipe = TinyPipeline(TinyDiT())
    offload(pipe.transformer)
    with cached(pipe) as session:
        hooks.remove_hook_from_module(pipe.transformer)
        assert torch.equal(pipe(), fresh())
        assert session.report.nfe == len(COMPUTED)
    assert sorted(pipe.transformer.__dict__) == bare_traces_with_hook(removed=True)
    assert torch.equal(pipe(), TinyPipeline(TinyDiT())())


def test_hooked_while_attached():
    pipe = TinyPipeline(TinyDiT())
    with cached(pipe) as session:
        spy = offload(pipe.transformer)
        assert torch.equal(pipe(), fresh())
        assert session.report.nfe == len(COMPUTED)
    assert spy.calls == 12
    assert sorted(pipe.transformer.__dict__) == bare_traces_with_hook(removed=False)
    assert torch.equal(pipe(), TinyPipeline(TinyDiT())())
    hooks.remove_hook_from_module(pipe.transformer)
    assert sorted(pipe.transformer.__dict__) == bare_traces_with_hook(removed=True)


def test_a_wrapper_that_keeps_our_forward_to_itself_goes_on_working():
    pipe = TinyPipeline(TinyDiT())
    bare = pipe()
    session = cached(pipe)
    ours = pipe.transformer.forward
    pipe.transformer.forward = functools.partial(ours)
    assert torch.equal(pipe(), fresh())
    session.detach()
    assert torch.equal(pipe(), bare)
    with cached(pipe):
        assert torch.equal(pipe(), fresh())
    assert torch.equal(pipe(), bare)


@pytest.mark.parametrize("hooked", [False, True])
def test_a_forward_is_in_place_until_something_else_is(hooked):
    model, calls = TinyDiT(), []
    if hooked:
        offload(model)
    override = ForwardOverride(model, lambda *args: calls.append(args))
    assert not override.is_in_place
    override.put()
    assert override.is_in_place
    model(1)
    assert calls == [(1,)]
    override.remove()
    assert not override.is_in_place
    override.put()
    for place in ("forward", WRAPPED):
        if place in vars(model):
            vars(model)[place] = print
    assert not override.is_in_place


def test_a_hook_that_was_put_over_ours_stays_there():
    model, hook = nn.Identity(), partial(print)
    override = ForwardOverride(model, partial(print))
    override.put()
    model.__dict__.update(forward=hook, _diffusers_hook=None)
    assert not override.renew(was_in_place=False)
    assert model.__dict__["forward"] is hook
    assert override.renew(was_in_place=True)  # it came during the call, in place of ours
    assert override.is_in_place
