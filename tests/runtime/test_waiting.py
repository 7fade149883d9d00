"""A predicted step waits for the device nowhere: CPU and GPU go on side by side."""

from __future__ import annotations

import copy
from typing import Any

import diffusers
import pytest
import torch
from torch import nn

from lesa_fitted.fitted import Fitted
from lesa_fitted.table import TableShape
from lesa_framework import (
    AffinePredictor,
    Decision,
    Filter,
    HostCall,
    Observer,
    Predictor,
    Strategy,
    Tap,
    attach_strategy,
    load_config,
)
from lesa_framework.runtime.strategy import FiniteCheck
from lesa_framework.testing import PretendedDevice, TinyDiT, even_grid, pretended_device
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_kan.experts import ExpertShape
from lesa_kan.lesa import Lesa
from tests.pipelines.qwen_images import QWEN_PROMPTS, new_qwen

COMPUTED, STEPS = (0, 1, 2, 6), 9
PLAN = "FFFPPPFPP"


class Channels(AffinePredictor):
    """A tensor of weights for each entry, and features of other branches."""

    depth = 2

    def __init__(self) -> None:
        self.weights, self.bias = torch.full((2, 1), 0.5), torch.full((1,), 0.1)

    def filter(self, entries, ctx):
        others = dict.fromkeys(ctx.others, (0.1,))
        return Filter(self.weights[: len(entries)], self.bias, others)


def configured(kind: str, **settings: object) -> Predictor:
    raw = {"schedule": {"kind": "always"}, "predictor": {"kind": kind, **settings}}
    return load_config(raw).predictor.build()


def fitted() -> Predictor:
    shape = TableShape(STEPS, COMPUTED, 3, ("cond",))
    return Fitted(shape, torch.full(shape.size, 0.25), even_grid(STEPS))


def lesa() -> Predictor:
    shape = ExpertShape(STEPS, (3,), (4,))
    return Lesa(shape, *(torch.full(shape.tables()[name], 0.5) for name in ("gains", "taps", "bias")))


PREDICTORS = {
    "reuse": lambda: configured("reuse"),
    "taylorseer": lambda: configured("taylorseer", order=2),
    "hicache": lambda: configured("hicache"),
    "foca": lambda: configured("foca"),
    "fitted": fitted,
    "lesa": lesa,
    "channels": Channels,
}


class Watch(Observer):
    """Counts what waited in each step, from the end of the one before."""

    def __init__(self, device: PretendedDevice) -> None:
        self._device, self._before = device, 0
        self.waits: dict[Decision, list[str]] = {decision: [] for decision in Decision}

    def lesa_step_end(self, record, latent, feature):
        waits = self._device.waits
        self.waits[record.decision] += map(str, waits[self._before :])
        self._before = len(waits)


def own(pipe: Any) -> Any:
    """A pipeline whose modules no other test shares."""
    for name, part in pipe.components.items():
        if isinstance(part, nn.Module):
            setattr(pipe, name, copy.deepcopy(part))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sample_flux(pipe: Any, device: Any) -> None:
    pipe.to(device)
    generator = torch.Generator().manual_seed(0)
    pipe("a ring", num_inference_steps=STEPS, height=64, width=64, output_type="latent", generator=generator)


def waits_of(pipe: Any, predictor: Predictor, tap: Tap, sample, check: FiniteCheck = True) -> Watch:
    strategy = Strategy(ComputeSteps(COMPUTED), EqualStages(), predictor, check_finite=check)
    with pretended_device() as device:
        watch = Watch(device)
        with attach_strategy(pipe, strategy, tap=tap, observers=[watch]) as session:
            sample(pipe, device.device)
        report = session.report
    assert {report.plan(branch) for branch in report.branches} == {PLAN}
    assert not report.replaced
    return watch


@pytest.mark.parametrize("tap", [Tap.PRE_HEAD, Tap.OUTPUT])
@pytest.mark.parametrize("name", PREDICTORS)
def test_no_predicted_step_of_flux_waits(make_flux, name, tap):
    watch = waits_of(own(make_flux()), PREDICTORS[name](), tap, sample_flux)
    assert watch.waits[Decision.PREDICT] == []
    # The grid is read when a run begins, and a scheduler is believed once its step was right at two levels.
    read = [wait for wait in watch.waits[Decision.COMPUTE] if "lesa_framework" in wait or "plugins" in wait]
    assert len([wait for wait in read if "call.py" in wait]) == 2
    # What need not run on predicted steps is found out on the first computed one.
    assert all(any(name in wait for name in ("call.py", "readings.py", "unread.py")) for wait in read)


@pytest.mark.parametrize("name", ["taylorseer", "channels"])
def test_no_predicted_step_of_two_branches_waits(name):
    def sample(pipe: Any, device: Any) -> None:
        pipe.to(device)
        prompts = {key: value.to(device) for key, value in QWEN_PROMPTS.items() if isinstance(value, torch.Tensor)}
        pipe(
            **{**QWEN_PROMPTS, **prompts},
            num_inference_steps=STEPS,
            height=32,
            width=32,
            output_type="latent",
            generator=torch.Generator().manual_seed(0),
        )

    watch = waits_of(own(new_qwen()), PREDICTORS[name](), Tap.PRE_HEAD, sample)
    assert watch.waits[Decision.PREDICT] == []


def test_the_strict_check_waits(make_flux):
    watch = waits_of(own(make_flux()), configured("reuse"), Tap.PRE_HEAD, sample_flux, check="strict")
    assert len(watch.waits[Decision.PREDICT]) == PLAN.count("P")
    assert all("finite.py" in wait for wait in watch.waits[Decision.PREDICT])


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("tells", [True, False], ids=["a host tells", "by its levels"])
def test_a_call_of_a_bare_model_waits_once_unless_a_host_tells_the_step(tells):
    now = HostCall("run", even_grid(STEPS), 0)
    place = {"host": lambda arguments: now} if tells else {"sigmas": even_grid(STEPS)}
    strategy = Strategy(ComputeSteps(COMPUTED), EqualStages(), configured("reuse"))
    with pretended_device() as device:
        model, watch = TinyDiT().to(device.device), Watch(device)
        levels, latent = torch.tensor(even_grid(STEPS), device=device.device), torch.ones(1, 16, 4).to(device.device)
        with attach_strategy(model, strategy, observers=[watch], **place) as session, torch.no_grad():
            for index in range(STEPS):
                now = HostCall("run", even_grid(STEPS), index)
                latent = latent - 0.1 * model(latent, timestep=levels[index].expand(1)).sample
        assert session.report.plan() == PLAN
    assert len(watch.waits[Decision.PREDICT]) == (0 if tells else PLAN.count("P"))
    assert all("call.py" in wait for wait in watch.waits[Decision.PREDICT])


@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "CogVideoXDDIMScheduler"])
def test_schedulers_that_do_not_count_wait_at_each_of_their_steps(name):
    scheduler = getattr(diffusers, name)()
    with pretended_device() as device:
        scheduler.set_timesteps(STEPS, device=device.device)
        latent = torch.ones(1, 4, 4, 4).to(device.device)
        for timestep in scheduler.timesteps:
            before = len(device.waits)
            latent = scheduler.step(latent, timestep, latent).prev_sample
            assert len(device.waits) > before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", PREDICTORS)
def test_torch_sees_no_wait_on_a_gpu(make_flux, name):
    class Strict(Observer):
        def lesa_step_end(self, record, latent, feature):
            following = PLAN[record.index + 1 : record.index + 2]
            torch.cuda.set_sync_debug_mode("error" if following == "P" else "default")

    strategy = Strategy(ComputeSteps(COMPUTED), EqualStages(), PREDICTORS[name]())
    pipe = own(make_flux())
    with attach_strategy(pipe, strategy):
        sample_flux(pipe, "cuda")  # the first run chooses among kernels, for which it waits
    try:
        with attach_strategy(pipe, strategy, observers=[Strict()]) as session:
            sample_flux(pipe, "cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert session.report.plan() == PLAN
