"""The head: however it is called, the feature is its hidden state; called twice or never, it is an error."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lesa_framework import PluginContractError, Tap
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, attach, check_backbone, even_grid
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.sessions import strategy


def call(model, latent, sigma, prompt):
    words = noise((latent.shape[0], 3, 4), prompt).to(latent.dtype)
    return model(latent, sigma, words, return_dict=False)[0]


def check(adapter, make_model):
    check_backbone(adapter, make_model=make_model, call=call, make_latent=lambda size: noise((2, 4 * size, 4), 0))


class Calling(nn.Module):
    """A final norm with another way of being called."""

    def __init__(self, norm, way):
        super().__init__()
        self.norm, self.inner = norm, way(norm)

    def forward(self, hidden_states, temb):
        return self.inner.close(hidden_states, temb)


class ByKeyword(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.final = norm

    def close(self, hidden_states, temb):
        return self.final(temb=temb, hidden_states=hidden_states)


class Swapped(nn.Module):
    class Final(nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.norm = norm

        def forward(self, temb, hidden):
            return self.norm(hidden, temb)

    def __init__(self, norm):
        super().__init__()
        self.final = self.Final(norm)

    def close(self, hidden_states, temb):
        return self.final(temb, hidden_states)


class Several(nn.Module):
    class Final(nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.norm = norm

        def forward(self, hidden, temb):
            return self.norm(hidden, temb), 1 + temb.unsqueeze(1), temb

    def __init__(self, norm):
        super().__init__()
        self.final = self.Final(norm)

    def close(self, hidden_states, temb):
        normed, gate, _ = self.final(hidden_states, temb)
        return normed * gate


class Upcast(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.scale, self.final = norm, nn.LayerNorm(16, elementwise_affine=False)

    def close(self, hidden_states, temb):
        return self.final(hidden_states.float()).to(hidden_states.dtype) * (1 + self.scale.linear(temb)).unsqueeze(1)


class Twice(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.final = norm

    def close(self, hidden_states, temb):
        return self.final(hidden_states, temb) + self.final(hidden_states * 2, temb)


def model_with(way):
    def make():
        model = TinyDiT()
        model.norm_out = Calling(model.norm_out, way)
        return model

    return make


class InnerAdapter(TinyDiTAdapter):
    head = "norm_out.inner.final"


class SwappedAdapter(InnerAdapter):
    head_argument = "hidden"


@pytest.mark.parametrize(
    ("adapter", "way"), [(InnerAdapter, ByKeyword), (SwappedAdapter, Swapped), (InnerAdapter, Several)]
)
def test_ways_to_call_the_head(adapter, way):
    check(adapter, model_with(way))


class UpcastAdapter(InnerAdapter):
    head_in_float32 = True


@pytest.mark.parametrize(("adapter", "kept"), [(UpcastAdapter, torch.bfloat16), (InnerAdapter, torch.float32)])
def test_a_head_in_float32_may_have_a_history_in_the_latents_dtype(adapter, kept):
    def make():
        return model_with(Upcast)().to(torch.bfloat16)

    model, recorder, latent = make(), Recorder(), noise((1, 4, 4), 0).to(torch.bfloat16)
    given: list[torch.dtype] = []
    with attach(model, adapter(), strategy([0]), even_grid(4), Tap.PRE_HEAD, [recorder]), torch.no_grad():
        model.norm_out.inner.final.register_forward_pre_hook(lambda _, args: given.append(args[0].dtype))
        first = call(model, latent, 1.0, 0)
        second = call(model, latent, 0.75, 0)
    assert {feature.dtype for feature in recorder.features} == {kept}
    assert set(given) == {torch.float32}
    with torch.no_grad():
        assert torch.equal(first, call(make(), latent, 1.0, 0))
    assert second.dtype == torch.bfloat16
    check_backbone(
        adapter, make_model=make, call=call, make_latent=lambda size: noise((2, 4 * size, 4), 0).to(torch.bfloat16)
    )


@pytest.mark.parametrize("tap", list(Tap))
def test_a_head_that_is_called_twice_is_an_error(tap):
    model = model_with(Twice)()
    with (
        attach(model, InnerAdapter(), strategy(), even_grid(4), tap),
        pytest.raises(
            PluginContractError,
            match=r"InnerAdapter: 'norm_out.inner.final' was called 2 times, in one call of TinyDiT. Set `head`",
        ),
    ):
        model(torch.zeros(1, 2, 4), 1.0)


@pytest.mark.parametrize("tap", [Tap.PRE_HEAD, Tap.POST_NORM])
def test_a_head_that_only_computed_steps_call_is_an_error(tap):
    # Else what is predicted would be used nowhere.
    class Lazy(TinyDiT):
        def forward(self, hidden_states, timestep):
            return super().forward(hidden_states, timestep) if len(self.transformer_blocks) else (hidden_states,)

    model = Lazy()
    with attach(model, TinyDiTAdapter(), strategy([0]), even_grid(4), tap):
        model(torch.zeros(1, 2, 4), 1.0)
        with pytest.raises(PluginContractError, match="'norm_out' was not called, so nothing was captured"):
            model(torch.zeros(1, 2, 4), 0.75)


def test_a_head_without_a_tensor_is_an_error():
    class Wrong(InnerAdapter):
        head_argument = "hiden"

    model = model_with(Swapped)()
    with (
        attach(model, Wrong(), strategy(), even_grid(4)),
        pytest.raises(
            PluginContractError,
            match=r"Wrong: 'norm_out.inner.final' of TinyDiT was given NoneType where .*head_argument",
        ),
    ):
        model(torch.zeros(1, 2, 4), 1.0)
