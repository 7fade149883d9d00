"""Calls of pipelines that report no steps: they are followed by their scheduler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DiTPipeline, HunyuanVideo15Pipeline, LongCatImagePipeline, PixArtAlphaPipeline

import lesa_framework as lesa
from lesa_framework import ConfigError
from lesa_framework.generation import GenerationSettings, check_call, generate_batch, sampler_grid
from tests.pipelines import worded
from tests.pipelines.case import config

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

CALL = {"height": 32, "width": 32, "use_resolution_binning": False, "negative_prompt": ""}
SETTINGS = GenerationSettings(num_steps=5, call=CALL)
PROMPTS, SEEDS = ["a red ring", "a blue star"], [3, 4]


@pytest.fixture
def pixart() -> Any:
    return worded.pixart_sigma()


def test_the_latents_are_the_pipeline_s_own_and_every_step_is_counted(pixart: Any) -> None:
    seen: list[int] = []
    samples = generate_batch(pixart, PROMPTS, SEEDS, SETTINGS, seen.append)
    assert seen == [0, 1, 2, 3, 4]
    assert samples.images.shape == (2, 3, 32, 32)
    direct = pixart(
        prompt=PROMPTS, generator=[torch.Generator().manual_seed(seed) for seed in SEEDS], num_inference_steps=5,
        output_type="latent", **{**CALL, "negative_prompt": ["", ""]},
    ).images  # fmt: skip
    assert torch.equal(samples.latents, direct)


def test_in_a_session_every_step_is_counted_too(pixart: Any) -> None:
    seen: list[int] = []
    with lesa.accelerate(pixart, config()) as session:
        generate_batch(pixart, PROMPTS, SEEDS, SETTINGS.with_steps(8), seen.append)
    assert seen == list(range(8))
    assert session.report.plan("branch0") == "FFFPPFPP"


def test_the_grid_is_made_without_a_step(pixart: Any) -> None:
    assert len(sampler_grid(pixart, SETTINGS)) == 6
    assert "step" not in vars(pixart.scheduler)


def test_the_scheduler_has_its_own_step_again(pixart: Any) -> None:
    before = set(vars(pixart.scheduler))
    generate_batch(pixart, PROMPTS, SEEDS, SETTINGS)
    assert set(vars(pixart.scheduler)) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_step_s_listener_ends_the_call_and_the_scheduler_has_its_own_step_again(
    pixart: Any, error: type[BaseException]
) -> None:
    before, seen = set(vars(pixart.scheduler)), []

    def stop(step: int) -> None:
        seen.append(step)
        if step == 1:
            raise error

    with pytest.raises(error):
        generate_batch(pixart, PROMPTS, SEEDS, SETTINGS, stop)
    assert seen == [0, 1]
    assert set(vars(pixart.scheduler)) == before


def test_a_step_that_was_set_on_the_scheduler_is_called_and_kept(pixart: Any) -> None:
    called, step = [], pixart.scheduler.step

    def own(*args: Any, **kwargs: Any) -> Any:
        called.append(1)
        return step(*args, **kwargs)

    pixart.scheduler.step = own
    generate_batch(pixart, PROMPTS, SEEDS, SETTINGS)
    assert len(called) == 5
    assert pixart.scheduler.step is own


@pytest.mark.parametrize("kind", [PixArtAlphaPipeline, HunyuanVideo15Pipeline, LongCatImagePipeline])
def test_pipelines_that_report_no_steps_are_accepted(kind: type) -> None:
    check_call(kind.__new__(kind), {})


def test_a_pipeline_without_prompts_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"model: DiTPipeline takes no prompt, so it cannot be run here\."):
        check_call(DiTPipeline.__new__(DiTPipeline), {})
