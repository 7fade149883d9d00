"""What a session guarantees: on a tiny model, with and without cache_context."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from torch import nn

import lesa_framework as lesa
from lesa_framework import Tap, UnsupportedBackboneError
from lesa_framework.testing import (
    TinyContextDiT,
    TinyDiT,
    TinyDiTAdapter,
    TinyPipeline,
    attach,
    even_grid,
)
from lesa_framework.testing.conformance.traces import differences, traces
from tests.runtime.sessions import COMPUTED, both_models, cached, every_tap, fresh, pipeline, strategy


@both_models
@every_tap
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_computing_every_step_changes_nothing(model_class, tap, guidance):
    bare = pipeline(model_class)(guidance=guidance)
    pipe = pipeline(model_class)
    with cached(pipe, strategy(None), tap) as session:
        assert torch.equal(pipe(guidance=guidance), bare)
    assert session.report.nfe == session.report.num_steps == 12


@both_models
@every_tap
def test_predicting_changes_something(model_class, tap):
    assert not torch.equal(fresh(model_class, tap=tap), pipeline(model_class)())


@both_models
@every_tap
def test_detaching_leaves_no_trace(model_class, tap):
    pipe = pipeline(model_class)
    before, bare = traces(pipe.transformer), pipe(guidance=2.0)
    with cached(pipe, tap=tap):
        assert differences(before, traces(pipe.transformer))
        pipe(guidance=2.0)
    assert differences(before, traces(pipe.transformer)) == []
    assert torch.equal(pipe(guidance=2.0), bare)


def test_detaching_gives_back_what_was_on_the_instance():
    pipe = pipeline(TinyContextDiT)
    model = pipe.transformer
    model.forward, model.cache_context = model.forward, model.cache_context
    own = dict(model.__dict__)
    cached(pipe).detach()
    assert model.__dict__ == own


def test_detaching_twice_does_nothing():
    pipe = pipeline()
    session = cached(pipe)
    session.detach()
    with cached(pipe) as second:
        session.detach()
        pipe()
    assert second.report.nfe == len(COMPUTED)


def test_a_detached_session_is_not_entered_again():
    session = cached(pipeline())
    with session:
        pass
    with pytest.raises(lesa.LesaError, match=r"was detached.*Call accelerate\(\) again"), session:
        pass


def test_a_second_session_is_refused_until_the_first_is_gone():
    pipe = pipeline()
    with cached(pipe):
        with pytest.raises(UnsupportedBackboneError, match=r"attached already. Call its detach\(\) first"):
            cached(pipe)
        assert pipe().shape == (1, 6, 4)  # the first one still works
    cached(pipe).detach()


def test_a_failed_attachment_leaves_no_trace():
    class Wrong(TinyDiTAdapter):
        head = "norm_end"

    model = TinyDiT()
    before = traces(model)
    with pytest.raises(
        UnsupportedBackboneError, match=r"Wrong expects 'norm_end' in TinyDiT, which has: embed, .*norm_out"
    ):
        attach(model, Wrong(), strategy(), even_grid(4))
    assert differences(before, traces(model)) == []


def test_the_weights_and_the_state_dict_stay_as_they_are():
    pipe = pipeline()
    before = list(pipe.transformer.state_dict())
    with cached(pipe):
        assert list(pipe.transformer.state_dict()) == before


@both_models
def test_two_runs_equal_two_fresh_runs(model_class):
    pipe = pipeline(model_class)
    with cached(pipe):
        for prompt in (0, 1, 0):
            assert torch.equal(pipe(prompt, guidance=2.0), fresh(model_class, prompt=prompt, guidance=2.0))


OTHER_CALLS = [
    {"tokens": 9},
    {"batch": 3},
    {"num_inference_steps": 20},
    {"guidance": 2.5},
    {"begin": 4},
    {"num_inference_steps": 1},
    {"prompt": 7},
]


@both_models
@pytest.mark.parametrize("call", OTHER_CALLS, ids=str)
@pytest.mark.parametrize("stop", [0, 1, 5])
def test_a_run_after_an_exception_equals_a_fresh_one(model_class, call, stop):
    def interrupt(_pipe, step, latent):
        if step == stop:
            raise KeyboardInterrupt
        return latent

    pipe = pipeline(model_class)
    with cached(pipe):
        with pytest.raises(KeyboardInterrupt):
            pipe(callback=interrupt, guidance=2.0)
        assert torch.equal(pipe(**call), fresh(model_class, **call))
        assert torch.equal(pipe(), fresh(model_class))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize(
    ("tap", "step"),
    # At the output a predicted step runs no module, so only a computed one can fail.
    [(Tap.PRE_HEAD, 5), (Tap.PRE_HEAD, 8), (Tap.POST_NORM, 5), (Tap.POST_NORM, 8), (Tap.OUTPUT, 8)],
)
def test_an_exception_inside_the_model_does_no_harm(tap, step, error):
    pipe = pipeline()
    model = pipe.transformer

    def fail(*_):
        if pipe.scheduler.step_index == step:
            raise error

    with cached(pipe, tap=tap):
        before = traces(model)
        handle = model.proj_out.register_forward_pre_hook(fail)
        with pytest.raises(error):
            pipe()
        handle.remove()
        assert differences(before, traces(model)) == []  # the blocks are back
        assert torch.equal(pipe(), fresh(tap=tap))


def count_block_calls(model: nn.Module) -> list[int]:
    calls = [0]

    def count(*_):
        calls[0] += 1

    for blocks in (model.transformer_blocks, model.single_transformer_blocks):
        for block in blocks:
            block.register_forward_pre_hook(count)
    return calls


@every_tap
def test_no_block_is_called_on_a_predicted_step(tap):
    pipe = pipeline()
    calls = count_block_calls(pipe.transformer)
    with cached(pipe, tap=tap):
        pipe(guidance=2.0)
    assert calls[0] == len(COMPUTED) * 2 * 4


def test_a_copy_of_an_attached_model_is_bare():
    pipe = pipeline(TinyContextDiT)
    bare = pipe(guidance=2.0)
    with cached(pipe) as session:
        pipe(guidance=2.0)
        records = session.report.records
        twin = TinyPipeline(copy.deepcopy(pipe.transformer))
        assert torch.equal(twin(guidance=2.0), bare)
        assert session.report.records == records  # the copy tells the original nothing
        with cached(twin) as other:
            assert torch.equal(twin(), fresh(TinyContextDiT))
        assert other.report.nfe == len(COMPUTED)
        assert torch.equal(twin(guidance=2.0), bare)
        assert torch.equal(pipe(), fresh(TinyContextDiT))
    assert torch.equal(twin(guidance=2.0), bare)


def test_a_copy_of_the_forward_alone_is_the_bare_forward():
    pipe = pipeline()
    arguments = torch.ones(1, 6, 4), torch.ones(1), torch.ones(1, 3, 4)
    signature = inspect.signature(pipe.transformer.forward)
    with torch.no_grad():
        bare = pipe.transformer(*arguments).sample
        with cached(pipe):
            assert inspect.signature(pipe.transformer.forward) == signature
            twin = copy.deepcopy(pipe.transformer.forward)
        assert inspect.signature(twin) == signature
        assert torch.equal(twin(*arguments).sample, bare)


@pytest.mark.parametrize("call", [{}, {"return_dict": False}])
def test_at_the_output_nothing_of_the_model_runs_on_a_predicted_step(call):
    model, ran = TinyDiT(), []
    model.embed.register_forward_hook(lambda *_: ran.append(1))
    with attach(model, TinyDiTAdapter(), strategy([0, 2]), even_grid(4), Tap.OUTPUT) as session, torch.no_grad():
        for sigma in even_grid(4)[:-1]:
            model(torch.ones(1, 6, 4), sigma, **call)
        assert session.report.plan() == "FPFP"
    assert len(ran) == 2


def test_lists_show_what_they_have_and_blocks_keep_their_class_while_attached():
    pipe = pipeline()
    model = pipe.transformer
    kinds = [type(block) for block in model.transformer_blocks]
    with cached(pipe):
        assert [type(block) for block in model.transformer_blocks] == kinds
        assert type(model.transformer_blocks) is not torch.nn.ModuleList
    assert type(model.transformer_blocks) is torch.nn.ModuleList
