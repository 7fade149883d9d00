"""Interrupts while a session is attached or detached."""

from __future__ import annotations

import pytest
import torch

from lesa_framework.runtime.model.blocks import BlockLists
from lesa_framework.runtime.model.compiled import Compilation
from lesa_framework.runtime.model.head import Head
from lesa_framework.runtime.model.override import ForwardOverride
from lesa_framework.testing import TinyContextDiT
from lesa_framework.testing.conformance.traces import differences, traces
from tests.runtime.sessions import cached, fresh, pipeline


@pytest.fixture
def interrupt(monkeypatch):
    """Interrupt a method, before or after what it does; once."""

    def arm(owner: type, name: str, *, after: bool) -> None:
        original = getattr(owner, name)

        def method(self, *args):
            monkeypatch.setattr(owner, name, original)
            if after:
                original(self, *args)
            raise KeyboardInterrupt

        monkeypatch.setattr(owner, name, method)

    return arm


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"),
    [(Compilation, "attach"), (BlockLists, "attach"), (Head, "attach"), (ForwardOverride, "put")],
    ids=["first", "second", "third", "fourth"],
)
def test_an_interrupt_while_attaching_leaves_no_trace(interrupt, owner, name, after):
    pipe = pipeline(TinyContextDiT)
    before = traces(pipe.transformer)
    interrupt(owner, name, after=after)
    with pytest.raises(KeyboardInterrupt):
        cached(pipe)
    assert differences(before, traces(pipe.transformer)) == []
    with cached(pipe):
        assert torch.equal(pipe(), fresh(TinyContextDiT))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"),
    [(ForwardOverride, "remove"), (Head, "remove"), (BlockLists, "detach"), (Compilation, "detach")],
    ids=["first", "second", "third", "fourth"],
)
def test_a_second_detach_finishes_what_an_interrupt_left(interrupt, owner, name, after):
    pipe = pipeline(TinyContextDiT)
    before, bare = traces(pipe.transformer), pipe()
    session = cached(pipe)
    pipe()
    interrupt(owner, name, after=after)
    with pytest.raises(KeyboardInterrupt):
        session.detach()
    assert torch.equal(pipe(), bare)
    session.detach()
    assert differences(before, traces(pipe.transformer)) == []
