from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import Tensor, nn

import lesa_framework as lesa
from lesa_framework import PluginContractError, Predictor, Reason, Strategy, Tap, UnsupportedBackboneError
from lesa_framework.api import Session
from lesa_framework.runtime.attach import Attachment
from lesa_framework.runtime.engine import Engine
from lesa_framework.runtime.grid import SchedulerGrid
from lesa_framework.runtime.tracking import Tracker
from lesa_framework.testing import (
    TinyContextDiT,
    TinyDiT,
    TinyDiTAdapter,
    TinyPipeline,
    TinyScheduler,
    attach,
    check_backbone,
    even_grid,
)
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages, Hold, Recorder
from lesa_framework.testing.conformance.traces import differences, traces
from lesa_framework.testing.tiny_pipeline import noise

COMPUTED = (0, 3, 8)
both_models = pytest.mark.parametrize("model_class", [TinyDiT, TinyContextDiT], ids=["plain", "cache_context"])
every_tap = pytest.mark.parametrize("tap", list(Tap))


def pipeline(model_class: type[TinyDiT] = TinyDiT, shift: float = 1.0) -> TinyPipeline:
    return TinyPipeline(model_class(), TinyScheduler(shift))


def strategy(computed=COMPUTED, predictor: Predictor | None = None) -> Strategy:
    return Strategy(ComputeSteps(computed), EqualStages(), predictor or Hold())


def cached(pipe: TinyPipeline, choice: Strategy | None = None, tap: Tap = Tap.PRE_HEAD, observers=()) -> Session:
    engine = Engine(choice or strategy(), "tiny", tap, observers)
    return Session(engine, Attachment(pipe.transformer, TinyDiTAdapter(), engine, Tracker(SchedulerGrid(pipe))))


def fresh(model_class: type[TinyDiT] = TinyDiT, shift: float = 1.0, tap: Tap = Tap.PRE_HEAD, **call) -> Tensor:
    """What a session that has seen nothing else makes."""
    pipe = pipeline(model_class, shift)
    with cached(pipe, tap=tap):
        return pipe(**call)


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


def test_a_second_session_is_refused_until_the_first_is_gone():
    pipe = pipeline()
    with cached(pipe):
        with pytest.raises(UnsupportedBackboneError, match=r"attached already. Call its detach\(\) first"):
            cached(pipe)
        assert pipe().shape == (1, 6, 4)  # the first one still works
    cached(pipe).detach()


def test_a_failed_attachment_leaves_no_trace():
    class Wrong(TinyDiTAdapter):
        closing = "norm_end"

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
def test_a_run_behind_an_exception_equals_a_fresh_one(model_class, call, stop):
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


def test_two_pipelines_in_one_process():
    one, two = pipeline(), pipeline(shift=3.0)
    with cached(one), cached(two, strategy((0, 1, 6))) as session:

        def other(_pipe, step, latent):
            if step == 5:
                two(3)
            return latent

        assert torch.equal(one(callback=other), fresh())
        assert session.report.plan() == "FFPPPPFPPPPP"


def test_two_pipelines_in_two_threads():
    # Made before the threads start: weights come from torch's global random state, which threads share.
    pipes, results = [pipeline() for _ in range(3)], {}

    def work(prompt: int) -> None:
        with cached(pipes[prompt]):
            results[prompt] = pipes[prompt](prompt, guidance=2.0)

    threads = [threading.Thread(target=work, args=(prompt,)) for prompt in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    for prompt, result in results.items():
        assert torch.equal(result, fresh(prompt=prompt, guidance=2.0))


def test_an_exchanged_scheduler_is_followed():
    pipe = pipeline()
    with cached(pipe) as session:
        pipe()
        pipe.scheduler = TinyScheduler(shift=3.0)
        assert torch.equal(pipe(), fresh(shift=3.0))
        assert session.report.info.sigmas[1] == pytest.approx(33 / 34)


def test_image_to_image_runs_the_end_of_the_grid():
    pipe = pipeline()
    with cached(pipe) as session:
        pipe(begin=4)
    assert [record.index for record in session.report.records] == list(range(4, 12))
    assert session.report.plan() == "FPPPFPPP"


@both_models
@pytest.mark.parametrize("renew", [False, True], ids=["same tensors", "new tensors"])
def test_branches_do_not_mix(model_class, renew):
    recorder, alone = Recorder(), Recorder()
    pipe, single = pipeline(model_class), pipeline(model_class)
    with cached(pipe, observers=[recorder]) as session:
        guided = pipe(guidance=1e-6 + 1, renew_conditions=renew)
    with cached(single, observers=[alone]):
        single()
    assert len(session.report.branches) == 2
    # The guided run is the unguided one up to rounding, if its first branch has a history to itself.
    own = [
        feature
        for feature, record in zip(recorder.features, recorder.records, strict=True)
        if record.branch in ("cond", "branch0")
    ]
    torch.testing.assert_close(own, alone.features, atol=1e-4, rtol=1e-4)
    assert guided.isfinite().all()


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


@pytest.mark.parametrize("tap", [Tap.PRE_HEAD, Tap.POST_NORM])
def test_the_head_sees_the_noise_level_of_a_predicted_step(tap):
    # The tiny head scales by noise level, so a feature that is held still gives another velocity.
    model, outputs = TinyDiT(), []
    with attach(model, TinyDiTAdapter(), strategy([0]), even_grid(4), tap), torch.no_grad():
        outputs = [model(torch.ones(1, 2, 4), sigma).sample for sigma in even_grid(4)[:2]]
    assert torch.equal(outputs[0], outputs[1]) == (tap is Tap.POST_NORM)


@every_tap
@pytest.mark.parametrize("return_dict", [True, False])
def test_the_ways_to_call_a_model(tap, return_dict):
    model, grid = TinyDiT(), even_grid(6)
    latent, words = noise((1, 5, 4), 0), noise((1, 3, 4), 1)
    with attach(model, TinyDiTAdapter(), strategy([0]), grid, tap) as session, torch.no_grad():
        results = [
            model(latent, grid[0], words, return_dict),
            model(latent, torch.tensor([grid[1]]), words, return_dict),
            model(latent, timestep=grid[2], encoder_hidden_states=words, return_dict=return_dict),
            model(
                hidden_states=latent,
                timestep=torch.tensor(grid[3]),
                encoder_hidden_states=words,
                return_dict=return_dict,
            ),
        ]
    assert session.report.plan() == "FPPP"
    assert session.report.branches == ("branch0",)
    for result in results:
        assert isinstance(result, tuple) is not return_dict
        assert result[0].shape == latent.shape


@every_tap
@pytest.mark.parametrize("first", [True, False])
def test_calls_may_change_between_tuple_and_object(tap, first):
    model, grid = TinyDiT(), even_grid(4)
    latent = noise((1, 5, 4), 0)
    with attach(model, TinyDiTAdapter(), strategy([0]), grid, tap), torch.no_grad():
        kept = model(latent, grid[0], return_dict=first)[0].clone()
        for sigma, return_dict in ((grid[1], not first), (grid[2], first)):
            output = model(latent, sigma, return_dict=return_dict)
            assert isinstance(output, tuple) is not return_dict
            assert output[0].shape == latent.shape
            assert tap is not Tap.OUTPUT or torch.equal(output[0], kept)


class PlainDiT(TinyDiT):
    """Returns the tensor itself, as research code does."""

    def forward(self, hidden_states, timestep, encoder_hidden_states=None):
        return super().forward(hidden_states, timestep, encoder_hidden_states).sample


class TupleDiT(TinyDiT):
    """Returns a tuple, whatever is wanted."""

    def forward(self, hidden_states, timestep, encoder_hidden_states=None):
        return super().forward(hidden_states, timestep, encoder_hidden_states, return_dict=False)


@pytest.mark.parametrize("model_class", [PlainDiT, TupleDiT])
def test_models_that_return_something_else(model_class):
    def call(model, latent, sigma, prompt):
        output = model(latent, sigma, noise((latent.shape[0], 3, 4), prompt))
        assert isinstance(output, Tensor if model_class is PlainDiT else tuple)
        return output if model_class is PlainDiT else output[0]

    check_backbone(
        TinyDiTAdapter, make_model=model_class, call=call, make_latent=lambda size: noise((3, 4 * size, 4), 0)
    )


def test_a_wrong_call_gets_the_models_own_error():
    model = TinyDiT()
    with attach(model, TinyDiTAdapter(), strategy(), even_grid(4)), pytest.raises(TypeError, match="timestep"):
        model(torch.zeros(1, 2, 4))


def test_an_adapter_that_hooks_nothing_is_an_error():
    class Blind(TinyDiTAdapter):
        closing = "spare"

    model = TinyDiT()
    model.spare = nn.Identity()
    with (
        attach(model, Blind(), strategy(), even_grid(4)),
        pytest.raises(PluginContractError, match="Blind: 'spare' was not called, so nothing was captured"),
    ):
        model(torch.zeros(1, 2, 4), 1.0)


def test_an_adapter_may_refuse_a_call():
    class Careful(TinyDiTAdapter):
        def refuse(self, model, arguments):
            return "prompts are not cached." if "encoder_hidden_states" in arguments else None

    model = TinyDiT()
    with attach(model, Careful(), strategy(), even_grid(4)):
        assert model(torch.zeros(1, 2, 4), 1.0).sample.shape == (1, 2, 4)
        with pytest.raises(UnsupportedBackboneError, match=r"TinyDiT: prompts are not cached\."):
            model(torch.zeros(1, 2, 4), 1.0, torch.zeros(1, 1, 4))


def test_a_step_that_is_on_no_grid_is_computed():
    model = TinyDiT()
    latent = noise((1, 5, 4), 0)
    with attach(model, TinyDiTAdapter(), strategy([0]), even_grid(4)) as session, torch.no_grad():
        model(latent, 1.0)
        lost = model(latent, 0.6).sample
    with torch.no_grad():
        assert torch.equal(lost, model(latent, 0.6).sample)
    assert session.report.fallbacks == {Reason.UNKNOWN_STEP: 1}


def test_a_prediction_with_nan_in_it_is_computed():
    class Nan(Predictor):
        def predict(self, history, ctx):
            return history.feature(0) * torch.nan

    pipe = pipeline()
    with cached(pipe, strategy(predictor=Nan())) as session:
        assert torch.equal(pipe(), pipeline()())
    assert session.report.fallbacks == {Reason.NON_FINITE: 9}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_histories_keep_the_models_dtype(dtype):
    recorder, pipe = Recorder(), pipeline()
    pipe.transformer.to(dtype)
    with cached(pipe, observers=[recorder]) as session:
        assert pipe().dtype == dtype
    assert {feature.dtype for feature in recorder.features} == {dtype}
    assert session.report.cache_bytes == 6 * 16 * dtype.itemsize
    assert not session.report.fallbacks


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@every_tap
def test_gradient_modes(mode, tap):
    model, grid, outputs = TinyDiT(), even_grid(6), []
    latent = noise((1, 5, 4), 0)
    with attach(model, TinyDiTAdapter(), strategy([0, 3]), grid, tap), mode():
        outputs = [model(latent, sigma).sample for sigma in grid[:-1]]
    if mode is torch.enable_grad:
        # Predicted steps reach the head's weights only; nothing in a graph was written over.
        torch.stack(outputs).sum().backward()
        assert model.embed.weight.grad is not None
    assert torch.stack(outputs).isfinite().all()


def test_a_run_may_leave_inference_mode():
    model, grid = TinyDiT(), even_grid(6)
    latent = noise((1, 5, 4), 0)
    with attach(model, TinyDiTAdapter(), strategy([0, 2]), grid):
        with torch.inference_mode():
            model(latent, grid[0])
        with torch.no_grad():
            model(latent, grid[1])
            model(latent, grid[2])


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


def test_attaching_in_the_middle_of_a_run():
    sessions: list[lesa.Session] = []

    def join(pipe, step, latent):
        if step == 4:
            sessions.append(cached(pipe))
        return latent

    pipe = pipeline()
    pipe(callback=join)
    assert [record.index for record in sessions[0].report.records] == list(range(5, 12))
    sessions[0].detach()


def test_detaching_in_the_middle_of_a_run():
    pipe = pipeline()
    session = cached(pipe)

    def leave(_pipe, step, latent):
        if step == 4:
            session.detach()
        return latent

    pipe(callback=leave)
    assert session.report.plan() == "FPPFP"


def test_an_observer_may_detach():
    pipe = pipeline()

    class Leaving(Recorder):
        def lesa_step_end(self, record, latent, feature):
            if record.index == 4:
                session.detach()

    session = cached(pipe, observers=[Leaving()])
    pipe()
    assert session.report.plan() == "FPPFP"
    assert torch.equal(pipe(), pipeline()())


def test_a_call_behind_a_failed_one_builds_on_nothing():
    # On a fixed grid nothing else says that the run is over.
    model, grid, latent = TinyDiT(), even_grid(6), noise((1, 5, 4), 0)
    with attach(model, TinyDiTAdapter(), strategy([0]), grid) as session, torch.no_grad():
        model(latent, grid[0])
        model(latent, grid[1])
        with pytest.raises(RuntimeError):
            model(torch.zeros(1, 5, 3), grid[2])  # another number of channels
        model(latent, grid[3])
    assert [record.reason for record in session.report.records] == [Reason.HISTORY]


def test_the_sampler_owns_what_it_gets():
    model, grid, latent = TinyDiT(), even_grid(4), noise((1, 5, 4), 0)
    with attach(model, TinyDiTAdapter(), strategy([0]), grid, Tap.OUTPUT), torch.no_grad():
        first = model(latent, grid[0]).sample.clone()
        model(latent, grid[1]).sample.zero_()
        model(latent, grid[2], return_dict=False)[0].zero_()
        assert torch.equal(model(latent, grid[3]).sample, first)
