"""Other caches, compilers and training on a model with a session: named, never silent."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

import lesa_framework as lesa
from lesa_framework import UnsupportedBackboneError
from lesa_framework.runtime.model.conflicts import forward_of
from lesa_framework.testing import TinyDiT, TinyPipeline
from tests.runtime.sessions import cached, fresh, pipeline

RAW = {"schedule": {"kind": "fixed_interval", "interval": 4}, "predictor": {"kind": "taylorseer", "order": 1}}


class _Hook:
    def __init__(self, is_stateful: bool) -> None:
        self._is_stateful = is_stateful


class _Registry:
    def __init__(self, **hooks: _Hook) -> None:
        self.hooks = hooks


def hook(pipe: TinyPipeline, *, is_stateful: bool) -> None:
    pipe.transformer.transformer_blocks[1]._diffusers_hook = _Registry(mine=_Hook(is_stateful))


def test_a_cache_that_was_there_before():
    pipe = pipeline()
    hook(pipe, is_stateful=True)
    with pytest.raises(UnsupportedBackboneError, match="another cache is enabled on it, diffusers' _Hook"):
        cached(pipe)
    assert "forward" not in vars(pipe.transformer)


def test_a_cache_that_comes_later():
    pipe = pipeline()
    with cached(pipe):
        pipe()
        hook(pipe, is_stateful=True)
        with pytest.raises(UnsupportedBackboneError, match="another cache is enabled"):
            pipe()


def test_hooks_for_offloading_fit():
    pipe = pipeline()
    hook(pipe, is_stateful=False)
    with cached(pipe):
        assert torch.equal(pipe(), fresh())


def test_a_forward_that_was_replaced_later():
    pipe = pipeline()
    with cached(pipe) as session:
        forward = functools.partial(TinyDiT.forward, pipe.transformer)
        forward.__module__ = "their_cache.adapter"
        pipe.transformer.forward = forward
        with pytest.warns(
            lesa.LesaWarning, match=r"called past the session.* replaced, by their_cache\.adapter"
        ) as warned:
            pipe()
        assert len(warned) == 1
        assert str(session.report) == "no run yet"
    pipe.transformer.forward = functools.partial(TinyDiT.forward, pipe.transformer)


def test_block_lists_that_were_exchanged():
    pipe = pipeline()
    with cached(pipe):
        pipe()
        pipe.transformer.transformer_blocks = nn.ModuleList(pipe.transformer.transformer_blocks[:1])
        with pytest.raises(UnsupportedBackboneError, match=r"'transformer_blocks' is not the list.* holds .*\._Block"):
            pipe()


def test_blocks_that_a_replaced_forward_never_calls():
    pipe = pipeline()
    forward, kept = pipe.transformer.forward, nn.ModuleList(pipe.transformer.transformer_blocks)

    def theirs(*args, **kwargs):
        mine, pipe.transformer._modules["transformer_blocks"] = pipe.transformer.transformer_blocks, kept
        try:
            return forward(*args, **kwargs)
        finally:
            pipe.transformer._modules["transformer_blocks"] = mine

    theirs.__module__ = "their_cache.adapter"
    pipe.transformer.forward = theirs
    with cached(pipe), pytest.raises(lesa.PluginContractError, match=r"replaced, by their_cache\.adapter"):
        pipe()


def test_a_transformer_that_was_exchanged(registered):
    pipe = pipeline()
    with lesa.accelerate(pipe, RAW) as session:
        pipe()
        pipe.transformer = TinyDiT()
        with pytest.warns(lesa.LesaWarning, match="the pipeline's transformer was exchanged"):
            assert session.report.num_steps == 12
        assert session.report.num_steps == 12  # warned once


LOST = "  exchanged: the pipeline's transformer; what the new one does is not cached, and not in this report"


@pytest.mark.filterwarnings("ignore:Session. the pipeline's transformer was exchanged:lesa_framework.LesaWarning")
def test_a_report_says_that_the_transformer_was_exchanged(registered):
    pipe, other = pipeline(), pipeline()
    with lesa.accelerate(pipe, RAW) as session:
        ours = pipe.transformer
        pipe.transformer = TinyDiT()
        assert str(session.report).splitlines() == ["no run yet", LOST]
        pipe.transformer = ours
        pipe()
        assert session.report.exchanged == ""
        before = str(session.report)
        pipe.transformer = TinyDiT()
        pipe()
        assert session.report.exchanged == "transformer"
        assert str(session.report).splitlines() == [*before.splitlines(), LOST]
    pipe.transformer = ours  # too late to matter
    assert str(session.report).splitlines()[-1] == LOST
    with lesa.accelerate(other, RAW) as session:
        other()
    other.transformer = TinyDiT()  # when nothing is attached any more
    assert session.report.exchanged == ""


def test_a_transformer_that_is_gone_has_no_calls_to_miss(registered):
    pipe = pipeline()
    with lesa.accelerate(pipe, RAW) as session:
        pipe()
        pipe.transformer = None  # to free memory, say
        assert session.report.exchanged == ""


class Around(nn.Module):
    """Put around a transformer, as peft's are."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.embed = inner, inner.embed  # the pipeline looks at its dtype

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


def test_a_transformer_that_something_was_put_around_is_still_cached(registered):
    pipe = pipeline()
    with lesa.accelerate(pipe, RAW) as session:
        cached = pipe()
        before = session.report
        pipe.transformer = Around(Around(pipe.transformer))
        assert torch.equal(pipe(), cached)
        assert (session.report.exchanged, session.report.plan()) == ("", before.plan())
    assert "P" in before.plan()


@pytest.mark.filterwarnings("ignore:Session. the pipeline's transformer was exchanged:lesa_framework.LesaWarning")
def test_a_transformer_inside_which_there_is_another_one_is_exchanged(registered):
    pipe = pipeline()
    with lesa.accelerate(pipe, RAW) as session:
        pipe.transformer = Around(TinyDiT())
        assert session.report.exchanged == "transformer"


@pytest.mark.parametrize("fullgraph", [True, False])
def test_what_calls_the_model_is_not_compiled(fullgraph: bool):
    pipe = pipeline()

    @torch.compile(backend="eager", fullgraph=fullgraph)
    def call(latent):
        return pipe.transformer.forward(latent, torch.ones(1), torch.ones(1, 3, 4))

    with cached(pipe), pytest.raises(RuntimeError, match=r"UnsupportedBackboneError.*Compile the transformer itself"):
        call(torch.ones(1, 6, 4))


def training_step(transformer: TinyDiT) -> None:
    transformer(torch.ones(1, 6, 4), torch.ones(1), torch.ones(1, 3, 4)).sample.mean().backward()


@pytest.mark.parametrize("with_sigmas", [True, False])
def test_training_under_a_session_is_refused(registered, with_sigmas: bool):
    pipe = pipeline()
    pipe.transformer.train()
    with lesa.accelerate(pipe, RAW, sigmas=[1.0, 0.5, 0.0] if with_sigmas else None):
        with pytest.raises(UnsupportedBackboneError, match=r"training mode.* detach\(\) before training"):
            training_step(pipe.transformer)
        pipe.transformer.requires_grad_(False)
        pipe.transformer.proj_out.requires_grad_(True)  # as an adapter's few weights are
        with pytest.raises(UnsupportedBackboneError, match="training mode"):
            training_step(pipe.transformer)
        pipe.transformer.requires_grad_(False)
        with torch.enable_grad():
            pipe.transformer(torch.ones(1, 6, 4), torch.ones(1), torch.ones(1, 3, 4))
    training_step(TinyDiT().train())


def test_a_forward_of_the_instances_own_is_named_unless_offloading_put_it_there():
    model = TinyDiT()
    assert forward_of(model) == ""
    model.forward = fresh
    assert f"replaced, by {fresh.__module__}" in forward_of(model)
    model._old_forward = TinyDiT.forward
    assert forward_of(model) == ""
    del model._old_forward
    model.forward = 3
    assert forward_of(model) == ""
