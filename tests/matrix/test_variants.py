"""What pipelines add to a call: residuals of ControlNets, IP-adapters, guidance embeddings, LoRA, other dtypes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lesa_framework import Reason, Reuse, Strategy, Tap, UnsupportedBackboneError
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing import attach, even_grid, sample
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages, Oracle
from tests.matrix.case import Case, level, noise, tiny
from tests.matrix.cases import CASES
from tests.matrix.cases_paper import call_flux

BY_KIND = {case.kind: case for case in CASES}
SIGMAS = even_grid(6)


def with_arguments(case: Case, make: Callable[[Tensor], dict[str, Any]]) -> Case:
    """The case with more arguments in every call of its model."""

    def call(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
        class Adding:
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                return model(*args, **kwargs, **make(latent))

        return case.call(Adding(), latent, sigma, prompt)

    return replace(case, call=call)


def residuals(latent: Tensor, count: int, tokens: int) -> list[Tensor]:
    return [noise((latent.shape[0], tokens, 16), 20 + number) for number in range(count)]


def flux_controlnet(latent: Tensor) -> dict[str, Any]:
    tokens = latent.shape[1]
    return {
        "controlnet_block_samples": residuals(latent, 1, tokens),
        "controlnet_single_block_samples": residuals(latent, 2, tokens),
    }


def qwen_controlnet(latent: Tensor) -> dict[str, Any]:
    return {"controlnet_block_samples": residuals(latent, 2, latent.shape[1])}


def sd3_controlnet(latent: Tensor) -> dict[str, Any]:
    return {"block_controlnet_hidden_states": residuals(latent, 2, latent.shape[-1] * latent.shape[-2] // 4)}


def hunyuan_dit_controlnet(latent: Tensor) -> dict[str, Any]:
    return {"controlnet_block_samples": residuals(latent, 1, latent.shape[-1] * latent.shape[-2] // 4)}


def skipped_layers(latent: Tensor) -> dict[str, Any]:
    return {"skip_layers": [1]}


def guidance(latent: Tensor) -> dict[str, Any]:
    return {"guidance": level(latent, 3.5)}


def flux_distilled() -> nn.Module:
    return tiny(
        "FluxTransformer2DModel",
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=8,
        axes_dims_rope=(2, 2, 4),
        guidance_embeds=True,
    )()


VARIANTS = {
    "flux, ControlNet": with_arguments(BY_KIND["flux"], flux_controlnet),
    "flux, guidance-distilled": with_arguments(replace(BY_KIND["flux"], make_model=flux_distilled), guidance),
    "qwen_image, ControlNet": with_arguments(BY_KIND["qwen_image"], qwen_controlnet),
    "chroma, ControlNet": with_arguments(BY_KIND["chroma"], flux_controlnet),
    "sd3, ControlNet": with_arguments(BY_KIND["sd3"], sd3_controlnet),
    "hunyuan_dit, ControlNet": with_arguments(BY_KIND["hunyuan_dit"], hunyuan_dit_controlnet),
    "sd3, skipped layers": with_arguments(BY_KIND["sd3"], skipped_layers),
}


@pytest.mark.filterwarnings("ignore:.FluxPosEmbed. is deprecated:FutureWarning")
@pytest.mark.parametrize("name", VARIANTS)
def test_what_a_pipeline_adds_keeps_working(name: str):
    case = VARIANTS[name]
    plain, model = BY_KIND[case.kind], case.make_model()
    with torch.no_grad():  # the added arguments do something, or the test would show nothing
        latent = case.make_latent(1)
        added = case.call(model, latent, 0.5, 0)
        if case.make_model is plain.make_model:
            assert not torch.equal(added, plain.call(model, latent, 0.5, 0))
    must_replay(case, *Tap)


def test_an_ip_adapter_of_flux_keeps_working():
    # Its processors live in the blocks; what it reads is projected by the model's root.
    case = BY_KIND["flux"]

    def make() -> nn.Module:
        from diffusers.models.embeddings import MultiIPAdapterImageProjection
        from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor

        class Projection(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return images

        model: Any = case.make_model()
        model.encoder_hid_proj = MultiIPAdapterImageProjection([Projection()])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            for block in model.transformer_blocks:
                block.attn.set_processor(FluxIPAdapterAttnProcessor(16, 16, num_tokens=(2,)))
        return model

    def showing(picture: int) -> Case:
        return with_arguments(
            replace(case, make_model=make),
            lambda latent: {
                "joint_attention_kwargs": {"ip_adapter_image_embeds": [noise((latent.shape[0], 1, 2, 16), picture)]}
            },
        )

    adapted, model = showing(9), make()
    with torch.no_grad():
        latent = case.make_latent(1)
        assert not torch.equal(adapted.call(model, latent, 0.5, 0), showing(8).call(model, latent, 0.5, 0))
    must_replay(adapted, *Tap)


@pytest.mark.parametrize("kind", ["wan", "wan_vace", "wan_animate", "chrono_edit", "skyreels_v2"])
def test_a_model_in_bfloat16_has_a_history_in_bfloat16(kind: str):
    # Its final norm is given float32: twice the memory, and nothing gained.
    case = in_bfloat16(BY_KIND[kind])
    model, recorder = case.make_model(), Recorder()
    strategy = Strategy(ComputeSteps([0, 2]), EqualStages(), Reuse())
    with attach(model, case.adapter(), strategy, SIGMAS, Tap.PRE_HEAD, [recorder]):
        sample(model, case.call, case.make_latent(1), SIGMAS)
    assert {feature.dtype for feature in recorder.features} == {torch.bfloat16}
    must_replay(case, *Tap)


def in_bfloat16(case: Case) -> Case:
    def call(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
        class Casting:
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                # The second argument is the timestep, which pipelines leave in float32.
                cast = [value if place == 1 else value.to(torch.bfloat16) for place, value in enumerate(args)]
                rest = {
                    name: value.to(torch.bfloat16) if isinstance(value, Tensor) else value
                    for name, value in kwargs.items()
                }
                return model(*cast, **rest)

        return case.call(Casting(), latent, sigma, prompt)

    return replace(
        case,
        make_model=lambda: case.make_model().to(torch.bfloat16),
        call=call,
        make_latent=lambda size: case.make_latent(size).to(torch.bfloat16),
    )


def must_replay(case: Case, *taps: Tap) -> None:
    """Features of an uncached run, put back on every step but the first, give its outputs bit for bit."""
    bare = sample(case.make_model(), case.call, case.make_latent(1), SIGMAS)
    for tap in taps:
        recorder, model = Recorder(), case.make_model()
        always = Strategy(ComputeSteps(), EqualStages(), Reuse())
        with attach(model, case.adapter(), always, SIGMAS, tap, [recorder]):
            computed = sample(model, case.call, case.make_latent(1), SIGMAS)
        oracle = Strategy(ComputeSteps([0]), EqualStages(), Oracle(recorder.features))
        with attach(model, case.adapter(), oracle, SIGMAS, tap) as session:
            replayed = sample(model, case.call, case.make_latent(1), SIGMAS)
        assert session.report.plan() == "FPPPPP"
        for number, output in enumerate(bare):
            assert torch.equal(computed[number], output)
            assert torch.equal(replayed[number], output)


@pytest.mark.parametrize("tap", [Tap.PRE_HEAD, Tap.POST_NORM])
def test_the_key_value_cache_of_flux2_keeps_working(tap: Tap):
    # The first step has the tokens of the reference picture and fills the cache; the others read it.
    case = BY_KIND["flux2"]

    def run(model: Any) -> list[Tensor]:
        from diffusers.models.transformers.transformer_flux2 import (
            Flux2KVAttnProcessor,
            Flux2KVParallelSelfAttnProcessor,
        )

        for block in model.transformer_blocks:
            block.attn.set_processor(Flux2KVAttnProcessor())
        for block in model.single_transformer_blocks:
            block.attn.set_processor(Flux2KVParallelSelfAttnProcessor())
        outputs, latent, reference = [], noise((1, 4, 16), 0), noise((1, 2, 16), 1)
        first = flux2(model, torch.cat([reference, latent], 1), 1.0, kv_cache_mode="extract", num_ref_tokens=2)
        outputs.append(first[0])
        for sigma in (0.75, 0.5, 0.25):
            later = flux2(model, latent, sigma, kv_cache=first[1], kv_cache_mode="cached", num_ref_tokens=2)
            outputs.append(later[0])
        return outputs

    def flux2(model: nn.Module, latent: Tensor, sigma: float, **more: Any) -> Any:
        tokens = latent.shape[1]
        return model(
            hidden_states=latent,
            encoder_hidden_states=noise((1, 3, 16), 0),
            timestep=level(latent, sigma),
            img_ids=torch.zeros(tokens, 4),
            txt_ids=torch.zeros(3, 4),
            guidance=level(latent, 4.0),
            return_dict=False,
            **more,
        )

    model = case.make_model()
    with torch.no_grad():
        bare = run(model)
        strategy = Strategy(ComputeSteps([0]), EqualStages(), Reuse())
        with attach(model, case.adapter(), strategy, even_grid(4), tap) as session:
            cached = run(model)
    assert session.report.plan() == "FFPP"
    assert session.report.fallbacks == {Reason.SHAPE: 1}
    assert torch.equal(cached[0], bare[0])
    assert torch.equal(cached[1], bare[1])


def test_an_output_with_a_second_one_is_refused():
    case = BY_KIND["flux2"]
    model = case.make_model()

    def call(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
        class Extracting:
            def __call__(self, **kwargs: Any) -> Any:
                return model(**kwargs, kv_cache_mode="extract", num_ref_tokens=1)

        return case.call(Extracting(), latent, sigma, prompt)

    strategy = Strategy(ComputeSteps(), EqualStages(), Reuse())
    with (
        attach(model, case.adapter(), strategy, SIGMAS, Tap.OUTPUT),
        pytest.raises(UnsupportedBackboneError, match=r"returned tuple of .*Flux2KVCache.*only one output"),
    ):
        sample(model, call, case.make_latent(1), SIGMAS)


def test_samples_of_several_sizes_in_one_call_are_refused():
    case = BY_KIND["z_image"]
    model = case.make_model()
    samples = [noise((4, 1, 8, 8), 0), noise((4, 1, 8, 16), 0)]
    words = [noise((3, 16), 0)] * 2
    strategy = Strategy(ComputeSteps(), EqualStages(), Reuse())
    with (
        attach(model, case.adapter(), strategy, SIGMAS),
        pytest.raises(
            UnsupportedBackboneError,
            match=r"x: a list of Tensor\(4, 1, 8, 8\), Tensor\(4, 1, 8, 16\) cannot be cached",
        ),
    ):
        model(samples, torch.zeros(2), words)


def test_a_lora_keeps_working():
    from peft import LoraConfig

    def make() -> nn.Module:
        model: Any = BY_KIND["flux"].make_model()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            model.add_adapter(LoraConfig(r=2, target_modules=["to_q", "proj_out"], init_lora_weights=False))
        return model

    case = replace(BY_KIND["flux"], make_model=make)
    scaled = with_arguments(case, lambda _: {"joint_attention_kwargs": {"scale": 0.5}})
    model = make()
    with torch.no_grad():
        latent = case.make_latent(1)
        full, half = call_flux(model, latent, 0.5, 0), scaled.call(model, latent, 0.5, 0)
    assert not torch.equal(full, half)
    must_replay(scaled, *Tap)
