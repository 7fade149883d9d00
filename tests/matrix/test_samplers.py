"""Every sampler that diffusers ships: cached on the right grid, or refused, on a CPU and on a GPU alike."""

from __future__ import annotations

import pytest

from lesa_framework.runtime.calls.call import Call
from tests.matrix.page import PAGE
from tests.matrix.samplers import (
    CALLERS,
    OUTSIDE,
    SAMPLERS,
    STEPS,
    Sampler,
    outcome,
    outcomes,
    quiet,
    shipped,
)
from tests.matrix.samplers_page import sampler_head, sampler_notes, sampler_row

SHOWN = PAGE.read_text(encoding="utf-8").splitlines()
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=str)

#: How shipped pipelines around transformers of ours use them: all of these have to work.
IN_USE = {
    "t / 1000": [
        "CogVideoXDDIMScheduler", "CogVideoXDPMScheduler", "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler",
        "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler",
        "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler",
        "FlowMatchLCMScheduler", "HeliosDMDScheduler", "HeliosScheduler", "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler",
        "PNDMScheduler", "SASolverScheduler", "UniPCMultistepScheduler",
    ],
    "t": ["CosineDPMSolverMultistepScheduler", "EDMDPMSolverMultistepScheduler", "EDMEulerScheduler"],
    "σ": [
        "UniPCMultistepScheduler, use_flow_sigmas=True, prediction_type=flow_prediction",
        "FlowMatchEulerDiscreteScheduler",
    ],
    "σ / (1 + σ)": [
        "FlowMatchEulerDiscreteScheduler, use_karras_sigmas=True, sigma_max=80.0, sigma_min=0.002", "EDMEulerScheduler",
    ],
    "sin t / (sin t + cos t)": ["SCMScheduler"],
}  # fmt: skip


def test_every_shipped_sampler_is_in_the_table_or_outside_for_a_reason():
    assert {sampler.name for sampler in SAMPLERS} | set(OUTSIDE) == set(shipped())
    assert {str(sampler) for sampler in SAMPLERS} >= {name for names in IN_USE.values() for name in names}
    assert set(IN_USE) == set(CALLERS)


@every_sampler
def test_it_is_cached_on_its_grid_or_refused_by_name(sampler: Sampler):
    with quiet():
        calls = len(sampler.make()[1])
    for caller, found in outcomes(sampler).items():
        if str(sampler) in IN_USE[caller]:
            assert found.word == "cached", found.message
        if found.word == "cached":
            assert found.plan == "FPPFPPPPFPPPPPPPP"[:calls]
            assert len(found.sigmas) == calls + 1
            assert 0.6 <= found.sigmas[0] == max(found.sigmas) <= 1
            assert 0 <= found.sigmas[-1] == min(found.sigmas) < 0.05
        elif found.word == "refused":
            assert found.message.startswith(f"{sampler.name}: its timesteps are not those of the model")
        elif found.word == "computed":
            assert set(found.plan) == {"F"}
            assert not found.sigmas


@every_sampler
def test_where_timesteps_cost_a_wait_the_outcome_is_the_same(sampler: Sampler, monkeypatch):
    monkeypatch.setattr(Call, "sigma_is_free", property(lambda call: False))
    with quiet():
        for caller, found in outcomes(sampler).items():
            assert outcome(sampler, caller) == found


def test_the_page_says_so():
    found = [*sampler_head(), *map(sampler_row, SAMPLERS), *sampler_notes()]
    assert [line for line in found if line not in SHOWN] == [], "docs/reference/matrix.md is stale: run `make matrix`"
    rows = [line for line in SHOWN if line.startswith("| `") and "Scheduler" in line.split(" | ")[0]]
    assert len(rows) == len(SAMPLERS)
    assert STEPS == 8
