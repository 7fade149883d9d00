"""The grids of diffusers' own schedulers, and calls placed on them as pipelines make them."""

from __future__ import annotations

from types import SimpleNamespace

import diffusers
import pytest
import torch

from lesa_framework import UnsupportedBackboneError
from lesa_framework.runtime.calls.call import Call
from lesa_framework.runtime.calls.grid import SchedulerGrid
from lesa_framework.runtime.calls.tracking import Tracker

# diffusers' schedulers with numpy 2: np.array(tensor) and np.log(tensor) in them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),
]

FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
FLOWS = [
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "use_karras_sigmas": True}),
    ("FlowMatchHeunDiscreteScheduler", {"shift": 3.0}),
    ("FlowMatchLCMScheduler", {}),
    ("UniPCMultistepScheduler", FLOW),
    ("DPMSolverMultistepScheduler", FLOW),
]
VARIANCE_PRESERVING = [
    ("DDIMScheduler", {}),
    ("DDIMScheduler", {"timestep_spacing": "trailing"}),
    ("DDPMScheduler", {}),
    ("CogVideoXDDIMScheduler", {"snr_shift_scale": 3.0, "timestep_spacing": "trailing"}),
    ("CogVideoXDPMScheduler", {}),
    ("DPMSolverMultistepScheduler", {}),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    ("DPMSolverSinglestepScheduler", {}),
    ("UniPCMultistepScheduler", {}),
    ("DEISMultistepScheduler", {}),
    ("SASolverScheduler", {}),
    ("EulerDiscreteScheduler", {}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("HeunDiscreteScheduler", {}),
    ("KDPM2DiscreteScheduler", {}),
    ("LMSDiscreteScheduler", {}),
    ("LCMScheduler", {}),
    ("PNDMScheduler", {}),
    ("PNDMScheduler", {"skip_prk_steps": True}),
]
both = pytest.mark.parametrize(("name", "config"), [*FLOWS, *VARIANCE_PRESERVING])


def scheduler_of(name, config, steps=10):
    scheduler = getattr(diffusers, name)(**config)
    scheduler.set_timesteps(steps)
    return scheduler


def sampled(scheduler, tracker, *, branches=1, dtype=torch.float32, begin=0, renew=False):
    """The positions of a sampler's calls: as in a pipeline, all branches of a step share the latent."""
    latent = torch.ones(1, 4, 8, 8)
    conditions = [torch.full((1, 2), float(number)) for number in range(branches)]
    if begin and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    found = []
    for timestep in scheduler.timesteps[begin:]:
        scaled = scheduler.scale_model_input(latent, timestep) if hasattr(scheduler, "scale_model_input") else latent
        level = timestep.expand(1).to(dtype) / 1000
        for condition in conditions:
            shown = torch.rand(1, 2) if renew else condition
            found.append(tracker.locate(Call(scaled, shown, level)))
        latent = scheduler.step(torch.zeros_like(latent) + 0.01, timestep, latent, return_dict=False)[0]
    return found


def on_a_gpu(monkeypatch) -> list[float]:
    """As if timesteps were on another device; the noise levels that are read, one for each wait."""
    read = []

    def sigma(call):
        read.append(float(call.timestep))
        return read[-1]

    monkeypatch.setattr(Call, "sigma_is_free", property(lambda call: False))
    monkeypatch.setattr(Call, "sigma", property(sigma))
    return read


def tracker_of(scheduler):
    return Tracker(SchedulerGrid(SimpleNamespace(scheduler=scheduler)))


@pytest.mark.parametrize(("name", "config"), FLOWS)
def test_the_grid_of_flow_matching_is_the_sigmas_bit_for_bit(name, config):
    scheduler = scheduler_of(name, config)
    grid = SchedulerGrid(SimpleNamespace(scheduler=scheduler)).current()[0]
    assert grid.sigmas == tuple(scheduler.sigmas.double().tolist())


@pytest.mark.parametrize(("name", "config"), VARIANCE_PRESERVING)
def test_other_grids_are_the_timesteps_and_a_final_0(name, config):
    scheduler = scheduler_of(name, config)
    grid = SchedulerGrid(SimpleNamespace(scheduler=scheduler)).current()[0]
    assert grid.sigmas == (*(float(timestep) / 1000 for timestep in scheduler.timesteps), 0.0)


def test_a_grid_that_counts_from_noise_at_0_to_1_is_turned_round():
    scheduler = scheduler_of("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "invert_sigmas": True})
    upright = scheduler_of("FlowMatchEulerDiscreteScheduler", {"shift": 3.0})
    grid = SchedulerGrid(SimpleNamespace(scheduler=scheduler)).current()[0]
    assert grid.sigmas == pytest.approx(upright.sigmas.tolist(), abs=1e-6)
    for index, timestep in enumerate(scheduler.timesteps.tolist()):
        assert grid.locate(1 - timestep / 1000) == index


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_call_of_a_sampler_is_one_entry_of_its_grid(name, config, dtype):
    scheduler = scheduler_of(name, config)
    if not hasattr(scheduler, "step") or name == "CogVideoXDPMScheduler":
        scheduler.step = lambda output, timestep, sample, return_dict: (
            sample - output,
        )  # its own wants more arguments
    for branches in (1, 2):
        scheduler.set_timesteps(10)
        found = sampled(scheduler, tracker_of(scheduler), branches=branches, dtype=dtype)
        expected = [index for index in range(len(scheduler.timesteps)) for _ in range(branches)]
        assert [position.index for position in found] == expected
        assert [position.new_run for position in found] == [True] + [False] * (len(found) - 1)
        assert [position.branch_index for position in found] == list(range(branches)) * len(scheduler.timesteps)


@pytest.mark.parametrize("name", ["PNDMScheduler", "HeunDiscreteScheduler", "DDIMScheduler"])
def test_repeated_levels_with_conditions_made_anew(name):
    scheduler = scheduler_of(name, {})
    found = sampled(scheduler, tracker_of(scheduler), branches=2, renew=True)
    assert [position.index for position in found] == [i for i in range(len(scheduler.timesteps)) for _ in range(2)]
    assert [position.branch for position in found] == ["branch0", "branch1"] * len(scheduler.timesteps)


@both
def test_a_new_run_is_known_by_its_new_timesteps(name, config):
    scheduler = scheduler_of(name, config)
    tracker = tracker_of(scheduler)
    first = tracker.source.current()
    assert tracker.source.current() is first
    scheduler.set_timesteps(10)
    assert tracker.source.current() is not first


@pytest.mark.parametrize("name", ["DDIMScheduler", "HeunDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"])
def test_a_suffix_of_the_grid(name):
    scheduler = scheduler_of(name, {})
    found = sampled(scheduler, tracker_of(scheduler), begin=4)
    assert [position.index for position in found] == list(range(4, len(scheduler.timesteps)))


@both
@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("before", ["set", "finished"])
def test_copies_of_a_scheduler_that_does_not_step_are_followed_by_their_levels(name, config, before, gpu, monkeypatch):
    if gpu:
        on_a_gpu(monkeypatch)
    if name == "CogVideoXDPMScheduler":  # its own wants more arguments
        step = staticmethod(lambda output, timestep, sample, return_dict: (sample - output,))
        monkeypatch.setattr(diffusers.CogVideoXDPMScheduler, "step", step)
    known = scheduler_of(name, config)
    tracker = tracker_of(known)
    if before == "finished":
        sampled(known, tracker)
    for _ in range(3):
        found = sampled(scheduler_of(name, config), tracker, branches=2)
        steps = len(known.timesteps)
        assert [position.index for position in found] == [index for index in range(steps) for _ in range(2)]
        assert [position.branch for position in found] == ["branch0", "branch1"] * steps
        assert [position.new_run for position in found] == [True] + [False] * (2 * steps - 1)


@pytest.mark.parametrize("name", ["HeliosScheduler", "HeliosDMDScheduler"])
def test_stages_whose_timesteps_are_cut_to_whole_numbers(name):
    scheduler = getattr(diffusers, name)()
    tracker, latent = tracker_of(scheduler), torch.ones(1)
    for stage in range(3):
        scheduler.set_timesteps(7, stage_index=stage)
        found = []
        for timestep in scheduler.timesteps:
            latent = latent.clone()
            found.append(tracker.locate(Call(latent, None, timestep.long() / 1000)))
            if name == "HeliosScheduler":
                scheduler._step_index = len(found)
        assert [position.index for position in found] == list(range(len(scheduler.timesteps)))
        assert [position.new_run for position in found] == [True] + [False] * (len(found) - 1)


def test_whole_numbers_for_timesteps_are_found_down_to_the_last_step():
    # UniPC cuts 59.6 to 59: a percent off, and still the same step.
    scheduler = scheduler_of("UniPCMultistepScheduler", FLOW, steps=50)
    positions = sampled(scheduler, tracker_of(scheduler))
    assert [position.index for position in positions] == list(range(50))


@both
def test_a_sampler_that_counts_is_waited_for_at_the_beginning_of_a_run_alone(name, config, monkeypatch):
    scheduler = scheduler_of(name, config)
    read = on_a_gpu(monkeypatch)
    if name == "CogVideoXDPMScheduler":
        scheduler.step = lambda output, timestep, sample, return_dict: (sample - output,)
    found = sampled(scheduler, tracker_of(scheduler), branches=2)
    assert [position.index for position in found] == [i for i in range(len(scheduler.timesteps)) for _ in range(2)]
    if hasattr(scheduler, "step_index"):
        assert len(set(read)) <= 3


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("CMStochasticIterativeScheduler", {}),
        ("DDIMInverseScheduler", {}),
        ("DPMSolverMultistepInverseScheduler", {}),
        ("EDMEulerScheduler", {}),
        ("IPNDMScheduler", {}),
        ("SCMScheduler", {}),
    ],
)
@pytest.mark.parametrize("gpu", [False, True])
def test_a_scheduler_whose_timesteps_are_not_those_of_the_model_is_refused_by_name(name, config, gpu, monkeypatch):
    scheduler = getattr(diffusers, name)(**config)
    scheduler.set_timesteps(8, **({"intermediate_timesteps": None} if name == "SCMScheduler" else {}))
    if gpu:
        on_a_gpu(monkeypatch)
    with pytest.raises(
        UnsupportedBackboneError, match=rf"{name}: its timesteps are not those of the model.*Use another sampler"
    ):
        tracker_of(scheduler).locate(Call(torch.ones(1), None, scheduler.timesteps[0] / 1000))


def test_a_setting_that_turns_the_noise_levels_round_is_named_and_not_the_same_sampler():
    scheduler = scheduler_of("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True})
    with pytest.raises(UnsupportedBackboneError) as refused:
        tracker_of(scheduler).locate(Call(torch.ones(1), None, float(scheduler.timesteps[0]) / 1000))
    assert (
        "but the scheduler says 1. `invert_sigmas` is set, which most models are not made for: leave it out, or use "
        "another sampler, such as DDIMScheduler or DPMSolverMultistepScheduler. If another"
    ) in str(refused.value)


def test_a_scheduler_of_whole_tokens_has_no_noise_levels():
    scheduler = scheduler_of("DiscreteDDIMScheduler", {}, steps=4)
    with pytest.raises(UnsupportedBackboneError, match=r"DiscreteDDIMScheduler: it has no noise levels"):
        tracker_of(scheduler).locate(Call(torch.ones(1), None, 1.0))
