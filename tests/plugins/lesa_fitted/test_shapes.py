"""Fits where the final latents have another shape than the model's input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from lesa_fitted.fit import FittedFit
from lesa_fitted.predictor import FittedPredictorConfig
from lesa_fitted.settings import FittedTrainingConfig
from lesa_framework import ConfigError, Tap
from lesa_framework.generation import GenerationSettings, sampler_grid
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.training import Sampler, Task
from lesa_framework.training.task import make_batches
from tests.pipelines import worded
from tests.pipelines.flux import PICTURE

STEPS = 6
#: Arguments of a call in which FLUX.1 Kontext is given a picture.
EDIT = {"height": 16, "width": 16, "image": PICTURE, "max_area": 256, "_auto_resize": False}


def new_task(pipe: Any, kind: str, call: dict[str, Any], size: int = 1, **settings: Any) -> Task:
    batches = make_batches(["a red ring", "a blue star"][:size], size, seed=0)
    sampler, grid = Sampler(pipe, STEPS, call), tuple(pipe.scheduler.sigmas.tolist())
    return Task(
        FittedTrainingConfig(**settings), sampler, grid, ComputeSteps((0, 1, 3)), EqualStages(), kind, Tap.OUTPUT,
        batches,
    )  # fmt: skip


def fitted(task: Task, **keys: Any) -> FittedFit:
    fit = FittedPredictorConfig(**keys).fit(task)
    list(fit.run())
    return fit


@pytest.fixture
def z_image() -> Any:
    pipe = worded.z_image()
    pipe(["a"], 32, 32, STEPS, output_type="latent")  # makes the grid
    return pipe


@pytest.mark.parametrize("guidance", [0.0, 3.0])
@pytest.mark.parametrize("size", [1, 2])
def test_z_image_s_latents_all_have_the_shape_of_the_model_s_input(z_image: Any, size: int, guidance: float) -> None:
    task = new_task(z_image, "z_image", {"height": 32, "width": 32, "guidance_scale": guidance}, size)
    latents = task.uncached(task.batches[0])
    assert {latent.shape for latent in latents} == {(size, *latents[0].shape[1:])}
    assert latents[0].dim() == 5
    assert torch.equal(latents[-1].squeeze(2), task.sampler.run(task.batches[0]))


@pytest.mark.parametrize("guidance", [0.0, 3.0])
@pytest.mark.parametrize("size", [1, 2])
def test_z_image_is_fitted_to_the_trajectory(z_image: Any, size: int, guidance: float) -> None:
    call = {"height": 32, "width": 32, "guidance_scale": guidance}
    fit = fitted(new_task(z_image, "z_image", call, size, target="trajectory"))
    assert fit._found.target == "trajectory"
    assert fit.drift_db is not None
    assert fit.drift_db > 15


@pytest.fixture
def kontext() -> Any:
    pipe = worded.flux_kontext()
    pipe(prompt=["a"], num_inference_steps=STEPS, output_type="latent", **EDIT)  # makes the grid
    return pipe


@pytest.mark.parametrize("size", [1, 2])
def test_a_model_that_is_given_more_than_the_sample_is_fitted_to_features(kontext: Any, size: int) -> None:
    fit = fitted(new_task(kontext, "flux", EDIT, size))
    assert fit._found.target == "feature"
    assert fit.tensors()["weights"].any()


def test_the_trajectory_is_refused_where_the_model_is_given_more_than_the_sample(kontext: Any) -> None:
    with pytest.raises(ConfigError, match=r"training\.target: 'trajectory' needs final latents"):
        fitted(new_task(kontext, "flux", EDIT, target="trajectory"))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_an_output_with_a_variance_is_no_velocity_for_filters_of_all_branches() -> None:
    pipe, call = worded.pixart_sigma(), {"height": 32, "width": 32, "use_resolution_binning": False}
    grid = sampler_grid(pipe, GenerationSettings(num_steps=STEPS, call=call))
    assert fitted(replace(new_task(pipe, "pixart", call), sigmas=grid), reads="all")._found.target == "feature"
