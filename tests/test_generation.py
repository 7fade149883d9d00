from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DiscreteDDIMScheduler

from lesa_framework import ConfigError, UnsupportedBackboneError
from lesa_framework.generation import GenerationSettings, check_call, generate_batch, sampler_grid
from lesa_framework.testing import TinyDiT

SETTINGS = GenerationSettings(
    num_steps=5,
    call={"height": 16, "width": 16, "max_sequence_length": 8, "negative_prompt": "", "true_cfg_scale": 3.0},
)


def test_images_are_floats_and_latents_the_pipeline_s_own(flux: Any) -> None:
    samples = generate_batch(flux, ["a red ring", "a blue star"], [3, 4], SETTINGS)
    assert samples.images.shape == (2, 3, 16, 16)
    assert samples.images.dtype == torch.float32
    assert len(samples.images.unique()) > 256
    direct = flux(
        prompt=["a red ring", "a blue star"], generator=[torch.Generator().manual_seed(seed) for seed in (3, 4)],
        num_inference_steps=5, output_type="latent", **{**SETTINGS.call, "negative_prompt": ["", ""]},
    ).images  # fmt: skip
    assert torch.equal(samples.latents, direct)


def test_every_step_calls_the_callback(flux: Any) -> None:
    seen: list[int] = []
    generate_batch(flux, ["a"], [0], SETTINGS, seen.append)
    assert seen == [0, 1, 2, 3, 4]


def test_time_without_a_processor_is_told_apart(flux: Any) -> None:
    samples = generate_batch(flux, ["a"], [0], SETTINGS, lambda _: time.sleep(0.02))
    assert samples.waited is not None
    assert 0.1 <= samples.waited <= samples.seconds, "five steps"


def test_the_grid_is_the_one_of_a_real_call_and_the_transformer_does_not_run(flux: Any) -> None:
    calls: list[object] = []
    handle = flux.transformer.proj_out.register_forward_hook(lambda *_: calls.append(1))
    grid = sampler_grid(flux, SETTINGS)
    assert not calls
    handle.remove()
    generate_batch(flux, ["a"], [0], SETTINGS)
    assert grid == tuple(flux.scheduler.sigmas.double().tolist())
    assert len(grid) == 6
    assert not flux.transformer._forward_pre_hooks


def test_arguments_are_checked_by_name_and_by_the_pipeline(flux: Any) -> None:
    with pytest.raises(ConfigError, match=r"--call heigth: FluxPipeline does not take it\. Valid: .*height"):
        check_call(flux, {"heigth": 16})
    with pytest.raises(ConfigError, match="is set by the command"):
        check_call(flux, {"generator": 1})
    with pytest.raises(ConfigError, match="FluxPipeline refuses the call"):
        sampler_grid(flux, GenerationSettings(num_steps=5, call={"max_sequence_length": 100_000}))


class Animates:
    """Needs an image besides the prompt, as pipelines of image-to-video do."""

    def __init__(self, pipe: Any) -> None:
        self.transformer, self.scheduler = pipe.transformer, pipe.scheduler

    def __call__(
        self, image: Any, prompt: Any, num_inference_steps: int, generator: Any, output_type: str, return_dict: bool,
        callback_on_step_end: Any = None, num_videos_per_prompt: int = 1,
    ) -> None:  # fmt: skip
        raise ValueError(f"`image` is {type(image)}.")


@pytest.mark.parametrize(
    ("call", "refusal"),
    [({}, "missing 1 required positional argument: 'image'"), ({"image": "x.png"}, "`image` is .*'str'>")],
)
def test_a_pipeline_that_needs_an_image_is_for_python(flux: Any, call: dict[str, Any], refusal: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"Animates refuses the call: .*{refusal}\. Commands .*no `image`: .* Python"
    ):
        sampler_grid(Animates(flux), GenerationSettings(num_steps=5, call=call))
    with pytest.raises(ConfigError) as refused:
        sampler_grid(flux, GenerationSettings(num_steps=5, call={"max_sequence_length": 100_000}))
    assert "in Python" not in str(refused.value), "that pipeline takes no image"


def test_so_is_one_that_needs_a_control_image_or_video(flux: Any) -> None:
    class Controls(Animates):
        def __call__(
            self, prompt: Any, control_video: Any = None, num_inference_steps: int = 5, generator: Any = None,
            output_type: str = "pt", return_dict: bool = True, callback_on_step_end: Any = None,
        ) -> None:  # fmt: skip
            raise ValueError("the input is in an incorrect format.")

    with pytest.raises(ConfigError, match=r"Controls refuses the call: .*format\. Commands .*no `control_video`: "):
        sampler_grid(Controls(flux), GenerationSettings(num_steps=5, call={}))


def test_more_samples_of_a_prompt_are_refused_by_name(flux: Any) -> None:
    for pipe, name in ((flux, "num_images_per_prompt"), (Animates(flux), "num_videos_per_prompt")):
        with pytest.raises(ConfigError, match=f"--call {name}: each prompt makes one sample .* `--count`"):
            check_call(pipe, {name: 2})
    check_call(Animates(flux), {"num_videos_per_prompt": 1})
    with pytest.raises(ConfigError, match="FluxPipeline does not take it"):
        check_call(flux, {"num_videos_per_prompt": 2})


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("no room"),
        RuntimeError("DefaultCPUAllocator: no room"),
        RuntimeError("MPS backend out of memory (no room)"),
        RuntimeError("CUDA error: out of memory: no room"),
    ],
)
def test_a_full_device_is_no_refusal_of_the_call(
    flux: Any, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(type(flux), "encode_prompt", full)
    with pytest.raises(RuntimeError, match="no room") as raised:
        sampler_grid(flux, SETTINGS)
    assert raised.value is error


def test_pipelines_without_a_transformer_are_refused() -> None:
    with pytest.raises(UnsupportedBackboneError, match="has no `transformer`"):
        sampler_grid(SimpleNamespace(), SETTINGS)  # type: ignore[arg-type]


class OfTwo:
    """Text is not needed to make a grid: a pipeline with two transformers and any sampler."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler, self.transformer, self.transformer_2 = scheduler, TinyDiT(seed=0), TinyDiT(seed=1)

    def __call__(
        self, prompt: list[str], generator: object, num_inference_steps: int, output_type: str, return_dict: bool,
        callback_on_step_end: object, low: bool = False,
    ) -> None:  # fmt: skip
        self.scheduler.set_timesteps(num_inference_steps)
        (self.transformer_2 if low else self.transformer)(torch.ones(1, 2, 4), 1.0)
        pytest.fail("the transformer ran")


@pytest.mark.parametrize("low", [False, True])
def test_the_grid_of_a_sampler_over_timesteps_and_of_either_transformer(low: bool) -> None:
    pipe = OfTwo(DDIMScheduler())
    grid = sampler_grid(pipe, GenerationSettings(num_steps=4, call={"low": low}))  # type: ignore[arg-type]
    assert grid == (0.75, 0.5, 0.25, 0.0, 0.0)
    assert not pipe.transformer._forward_pre_hooks
    assert not pipe.transformer_2._forward_pre_hooks


def test_a_scheduler_without_noise_levels_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedBackboneError, match="DiscreteDDIMScheduler: it has no noise levels"):
        sampler_grid(OfTwo(DiscreteDDIMScheduler()), GenerationSettings(num_steps=4))  # type: ignore[arg-type]
