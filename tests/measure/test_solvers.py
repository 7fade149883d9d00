"""Plain runs with another sampler."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from lesa_framework import ConfigError
from lesa_framework.generation import GenerationSettings, generate_batch
from lesa_framework.measure.solvers import sampling_with
from lesa_framework.measure.spec import SamplerName
from tests.measure.benches import CALL


def pipeline(shift: float = 3.0) -> Any:
    return SimpleNamespace(scheduler=FlowMatchEulerDiscreteScheduler(shift=shift), transformer=torch.nn.Identity())


def sampled(pipe: Any, steps: int) -> float:
    """From 1 at the noise along the flow of normal data with a deviation of a half: at no noise it is a half."""
    scheduler = pipe.scheduler
    scheduler.set_timesteps(steps, device="cpu")
    latent = torch.ones(1, 1, 1, dtype=torch.float64)
    for timestep in scheduler.timesteps:
        level = float(timestep) / 1000
        slope = (level - (1 - level) / 4) / ((1 - level) ** 2 / 4 + level**2)
        latent = scheduler.step(latent * slope, timestep, latent, return_dict=False)[0]
    return float(latent)


@pytest.mark.parametrize("name", get_args(SamplerName))
def test_twice_as_many_steps_leave_less_than_half_of_the_error(name):
    pipe = pipeline()
    errors = [abs(sampled(pipe, steps) - 0.5) for steps in (40, 80)]
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.02)  # Euler's
    with sampling_with(pipe, name):
        errors = [abs(sampled(pipe, steps) - 0.5) for steps in (40, 80)]
    assert errors[1] / errors[0] < 0.35


def test_the_noise_levels_are_the_pipelines_own():
    pipe = pipeline(shift=5.0)
    pipe.scheduler.set_timesteps(7)
    levels, timesteps = pipe.scheduler.sigmas, pipe.scheduler.timesteps
    with sampling_with(pipe, "unipc2"):
        solver = pipe.scheduler
        solver.set_timesteps(7, device="cpu")
        assert torch.equal(solver.timesteps, timesteps)
        # The solver moves the first one, where a flow is all noise, by a millionth.
        assert torch.allclose(solver._solver.sigmas, levels, atol=1e-5)


def test_a_pipeline_samples_with_it_and_is_as_before_afterwards(flux):
    own, config, settings = flux.scheduler, dict(flux.config), GenerationSettings(num_steps=4, call=CALL)
    plain = generate_batch(flux, ["a"], [0], settings)
    with sampling_with(flux, "unipc2"):
        other = generate_batch(flux, ["a"], [0], settings)
    assert flux.scheduler is own
    assert dict(flux.config) == config
    assert torch.equal(generate_batch(flux, ["a"], [0], settings).latents, plain.latents)
    assert other.latents.isfinite().all()
    assert not torch.allclose(other.latents, plain.latents, atol=1e-4)


def test_samples_may_be_written_to_and_half_precision_is_sampled_in_float32():
    levels, noise = 12, torch.linspace(-2, 2, 24).view(1, 4, 6)

    def run(dtype: torch.dtype, *, writes: bool) -> torch.Tensor:
        pipe = pipeline()
        with sampling_with(pipe, "unipc2"):
            scheduler = pipe.scheduler
            scheduler.set_timesteps(levels, device="cpu")
            latent = noise.to(dtype).clone()
            for timestep in scheduler.timesteps:
                found = scheduler.step((latent / 2).to(dtype), timestep, latent).prev_sample
                assert found.dtype is dtype
                latent = latent.copy_(found) if writes else found
        return latent

    assert torch.equal(run(torch.float32, writes=True), run(torch.float32, writes=False))
    torch.testing.assert_close(
        run(torch.bfloat16, writes=True).float(), run(torch.float32, writes=False), rtol=0.05, atol=0.05
    )


def test_a_copy_samples_for_itself():
    pipe = pipeline()
    with sampling_with(pipe, "unipc2"):
        twin = copy.deepcopy(pipe.scheduler)
        twin.set_timesteps(5)
        assert len(pipe.scheduler.timesteps) != 5
        assert len(twin.timesteps) == 5


@pytest.mark.parametrize(
    ("scheduler", "found"),
    [
        (DDIMScheduler(), "DDIMScheduler"),
        (FlowMatchEulerDiscreteScheduler(invert_sigmas=True), "one with invert_sigmas"),
        (FlowMatchEulerDiscreteScheduler(stochastic_sampling=True), "one with stochastic_sampling"),
    ],
)
def test_another_scheduler_is_refused(scheduler, found):
    pipe = SimpleNamespace(scheduler=scheduler, transformer=None)
    with pytest.raises(ConfigError, match=f"this pipeline has {found}"), sampling_with(pipe, "unipc2"):
        pass
