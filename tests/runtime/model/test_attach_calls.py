"""Ways to call an attached model, and what it does with what is not as assumed."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lesa_framework import (
    Decision,
    Observer,
    PluginContractError,
    Predictor,
    Reason,
    Tap,
    UnsupportedBackboneError,
    attach_strategy,
)
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing import (
    TinyDiT,
    TinyDiTAdapter,
    attach,
    check_backbone,
    even_grid,
)
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.model.test_blocks import NumberedAdapter, NumberedDiT
from tests.runtime.sessions import cached, every_tap, pipeline, strategy


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


class OpenDiT(TinyDiT):
    """Names only its latent."""

    def forward(self, hidden_states, **conditions):
        return super().forward(hidden_states, **conditions)


def test_arguments_that_the_forward_does_not_name():
    def call(model, latent, sigma, prompt):
        words = noise((latent.shape[0], 3, 4), prompt)
        return model(latent, timestep=sigma, encoder_hidden_states=words, return_dict=False)[0]

    check_backbone(TinyDiTAdapter, make_model=OpenDiT, call=call, make_latent=lambda size: noise((3, 4 * size, 4), 0))


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
        head = "spare"

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


def test_nothing_of_a_run_that_ended_off_the_grid_is_used_in_the_next():
    model = TinyDiT()

    def sample(seed):
        latent = noise((1, 5, 4), seed)
        return torch.stack([model(latent * (1 + level), level).sample for level in (1.0, 0.75, 0.5, 0.28)])

    with attach(model, TinyDiTAdapter(), strategy([0]), even_grid(4)), torch.no_grad():
        fresh = sample(1)
    with attach(model, TinyDiTAdapter(), strategy([0]), even_grid(4)) as session, torch.no_grad():
        sample(0)
        assert torch.equal(sample(1), fresh)
    assert session.report.plan() == "FPPF"


def test_with_the_strict_check_a_prediction_with_nan_in_it_is_computed():
    class Nan(Predictor):
        def predict(self, history, ctx):
            return history.feature(0) * torch.nan

    pipe = pipeline()
    with cached(pipe, replace(strategy(predictor=Nan()), check_finite="strict")) as session:
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
    with attach(model, TinyDiTAdapter(), strategy([0, 2]), grid) as session:
        with torch.inference_mode():
            model(latent, grid[0])
        with torch.no_grad():
            model(latent, grid[1])
            model(latent, grid[2])
    assert session.report.plan() == "FPF"
    assert not session.report.fallbacks


def test_a_call_after_a_failed_one_starts_fresh():
    # On a fixed grid nothing else says that the run is over.
    model, grid, latent = TinyDiT(), even_grid(6), noise((1, 5, 4), 0)
    with attach(model, TinyDiTAdapter(), strategy([0]), grid) as session, torch.no_grad():
        model(latent, grid[0])
        model(latent, grid[1])
        with pytest.raises(RuntimeError):
            model(torch.zeros(1, 5, 3), grid[2])  # another number of channels
        model(latent, grid[3])
    assert [record.reason for record in session.report.records] == [Reason.HISTORY]


def test_blocks_are_watched_on_the_first_computed_step_alone():
    seen = []

    class Looking(TinyDiT):
        def forward(self, hidden_states, timestep):
            seen.append({type(block).__name__ for block in self.transformer_blocks})
            return super().forward(hidden_states, timestep)

    model = Looking()
    with attach(model, TinyDiTAdapter(), strategy([0, 1, 2]), even_grid(4)):
        for sigma in even_grid(4)[:3]:
            model(noise((1, 4, 4), 0), sigma)
    with_blocks = [names for names in seen if names]  # the others look at what predicted steps will do
    assert with_blocks == [{"_StandIn"}, {"_Block"}, {"_Block"}]


def test_stand_ins_are_made_once(monkeypatch):
    made, grid = [], even_grid(6)
    signature = inspect.signature
    monkeypatch.setattr(inspect, "signature", lambda of: made.append(of) or signature(of))
    stand_ins = []

    class Looking(NumberedDiT):
        def run_blocks(self, hidden, temb):
            stand_ins.append(list(self.stack))
            return super().run_blocks(hidden, temb)

    model = Looking()
    with attach(model, NumberedAdapter(), strategy([0]), grid), torch.no_grad():
        counts = []
        for sigma in grid[:-1]:
            model(noise((1, 4, 4), 0), sigma)
            counts.append(len([each for each in made if getattr(each, "__self__", None) in model.stack]))
    assert counts == [len(model.stack)] * len(counts)
    assert all(one is other for one, other in zip(*stand_ins[-2:], strict=True))


def test_computed_steps_alone_are_in_the_context_that_is_asked_for(registered):
    modes = []

    class Watch(Observer):
        def lesa_step_end(self, record, latent, feature):
            modes.append((record.decision, len(entered)))

    entered = []

    @contextmanager
    def around():
        entered.append(True)
        yield

    pipe = pipeline()
    with attach_strategy(pipe, strategy([0, 2]), observers=[Watch()], around_compute=around):
        pipe(num_inference_steps=4)
    compute, predict = Decision.COMPUTE, Decision.PREDICT
    assert modes == [(compute, 1), (predict, 1), (compute, 2), (predict, 2)]
