"""Fits where the final latents have another shape than the model's input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from lesa_diffusers.sequence import Lumina2Adapter
from lesa_fitted.fit import FittedFit
from lesa_fitted.fitted import Fitted
from lesa_fitted.predictor import FittedPredictorConfig
from lesa_fitted.settings import FittedTrainingConfig
from lesa_fitted.table import TableShape
from lesa_framework import ConfigError, Predictor, Reuse, Strategy, Tap
from lesa_framework.generation import GenerationSettings, sampler_grid
from lesa_framework.testing import attach, even_grid, sample
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.training import Sampler, Task
from lesa_framework.training.task import make_batches
from tests.matrix.case import level, noise
from tests.pipelines import worded
from tests.pipelines.flux import PICTURE
from tests.pipelines.parts import MODELS

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


@pytest.fixture
def lumina2() -> Any:
    pipe = worded.lumina2()
    pipe(["a"], 32, 32, STEPS, output_type="latent")  # makes the grid
    return pipe


@pytest.mark.parametrize("tap", [Tap.PRE_HEAD, Tap.POST_NORM])
def test_filters_of_all_branches_are_refused_where_features_hold_prompts_of_different_lengths(
    lumina2: Any, tap: Tap
) -> None:
    task = replace(new_task(lumina2, "lumina2", {"height": 32, "width": 32}), tap=tap)
    shapes = r"branch0 \(1, 7, \d+\), branch1 \(1, 6, \d+\)\. Use reads 'own', or backbone\.tap 'output'"
    with pytest.raises(ConfigError, match=rf"predictor\.reads: 'all' adds up features of all branches, .*: {shapes}"):
        fitted(task, reads="all")
    assert fitted(task).tensors()["weights"].any()


def test_at_the_output_such_filters_are_fitted(lumina2: Any) -> None:
    fit = fitted(new_task(lumina2, "lumina2", {"height": 32, "width": 32}), reads="all")
    assert fit.tensors()["weights"].any()


def test_where_features_of_other_branches_have_other_lengths_a_filter_of_all_branches_reuses() -> None:
    def call(model: Any, latent: Any, sigma: float, prompt: int) -> Any:
        words = noise((1, 3 if prompt else 2, 16), prompt)
        seen = torch.ones(words.shape[:2], dtype=torch.bool)
        return model(latent, level(latent, 1 - sigma), words, seen, return_dict=False)[0]

    def sampled(predictor: Predictor) -> list[Any]:
        model, strategy = MODELS["lumina2"](), Strategy(ComputeSteps((0, 3)), EqualStages(), predictor)
        with attach(model, Lumina2Adapter(), strategy, even_grid(STEPS)):
            return sample(model, call, noise((1, 4, 4, 4), 0), even_grid(STEPS), prompt=0, guidance=2.0)

    shape = TableShape(STEPS, (0, 3), 1, ("branch0", "branch1"), reads="all")
    found = sampled(Fitted(shape, torch.full(shape.size, 0.5), even_grid(STEPS)))
    assert all(map(torch.equal, found, sampled(Reuse())))


@pytest.mark.parametrize("kind", ["greedy", "true_history"])
def test_features_whose_shape_changes_during_a_run_are_refused(kind: Any) -> None:
    pipe, call = worded.qwen_image21(), {"height": 64, "width": 64}
    pipe(prompt=["a"], num_inference_steps=STEPS, output_type="latent", **call)  # makes the grid
    with pytest.raises(ConfigError, match=r"of one shape in all steps\. .* such as `use_kv_cache: false`"):
        fitted(new_task(pipe, "qwen_image21", call, 2, fit=kind))
    whole = new_task(pipe, "qwen_image21", {**call, "use_kv_cache": False}, 2, fit=kind)
    assert fitted(whole).tensors()["weights"].any()
