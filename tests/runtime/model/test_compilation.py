"""What is found of a user's compiling, what is refused, and what is given back."""

from __future__ import annotations

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import UnsupportedBackboneError
from lesa_framework.runtime.model.compiled import Compilation, compiler_of, uncompiled
from lesa_framework.testing import TinyDiT
from lesa_framework.testing.conformance.traces import differences, traces
from tests.fixtures_compile import Compiler
from tests.runtime.model.compiling import Way, both_ways, by_the_model
from tests.runtime.sessions import cached, fresh, pipeline


def test_a_forward_that_was_replaced_runs_uncompiled(compiler: Compiler):
    pipe = pipeline()
    forward = pipe.transformer.forward

    def theirs(*args, **kwargs):
        return forward(*args, **kwargs)

    theirs.__module__ = "their.hooks"
    pipe.transformer.forward = theirs
    by_the_model(pipe, compiler)
    with cached(pipe):
        with pytest.warns(lesa.LesaWarning, match=r"Its forward was replaced, by their\.hooks.* runs uncompiled"):
            found = pipe()
        assert torch.equal(found, fresh())
    assert compiler.graphs == 0
    assert pipe.transformer.forward is theirs


def test_what_is_compiled_by_something_else_is_refused():
    pipe = pipeline()
    pipe.transformer._compiled_call_impl = pipe.transformer.forward
    with pytest.raises(UnsupportedBackboneError, match=r"but not by torch\.compile"):
        cached(pipe)


def test_compiling_that_is_switched_off():
    pipe = pipeline()
    pipe.transformer.compile(disable=True)
    with cached(pipe):
        assert torch.equal(pipe(), fresh())
    assert pipe.transformer._compiled_call_impl == pipe.transformer._call_impl


def test_the_compiler_of_a_function_is_found(compiler: Compiler):
    model = TinyDiT()
    wrapper = torch.compile(model, **compiler.options)
    for call in (wrapper.forward, torch.compile(model.forward, **compiler.options)):
        found = compiler_of(call)
        assert found is not None
        assert callable(found(lambda: None))
        assert uncompiled(call) in (model.__call__, model.forward)
    assert compiler_of(wrapper.forward) is wrapper.dynamo_ctx
    assert compiler_of(model.forward) is None
    assert uncompiled(model.forward) == model.forward


@both_ways
def test_an_interrupt_while_attaching_leaves_what_was_compiled(compiler: Compiler, compiled: Way, monkeypatch):
    pipe = pipeline()
    model = pipe.transformer
    compiled(pipe, compiler)
    before, outer = traces(model), dict(vars(pipe.transformer))
    attach = Compilation.attach

    def interrupted(self, forward):
        attach(self, forward)
        raise KeyboardInterrupt

    monkeypatch.setattr(Compilation, "attach", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached(pipe)
    assert differences(before, traces(model)) == []
    assert dict(vars(pipe.transformer)) == outer
