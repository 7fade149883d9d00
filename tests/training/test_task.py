"""What a fit is handed: rollouts with the run's own history, and the true features beside the latents."""

from __future__ import annotations

import pytest
import torch

from lesa_framework import AffinePredictor, Decision, Filter, HistoryPlace, SchedulePolicy, TrainingConfig
from lesa_framework.plugin.manager import plugins
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages, Hold
from lesa_framework.training import Sampler, Task, TrueHistory
from lesa_framework.training.run import make_batches
from lesa_framework.types import AS_MADE, Tap
from tests.plugins.lesa_kan.conftest import ToyAdapter, ToyPipeline

STEPS = 6


@pytest.fixture
def make(monkeypatch):
    monkeypatch.setitem(plugins().registry.backbones._items, "toy", (ToyAdapter, "tests"))

    def task(schedule, history=AS_MADE) -> Task:
        grid = tuple(torch.linspace(1, 0, STEPS + 1).tolist())
        batches = make_batches(["a", "b"], 2, seed=0)
        sampler = Sampler(ToyPipeline(), STEPS, {})
        settings = TrainingConfig(num_steps=STEPS)
        return Task(settings, sampler, grid, schedule, EqualStages(), "toy", Tap.PRE_HEAD, batches, history)

    return task


class Gain(AffinePredictor):
    """Reuse with a gain for each channel that can be learned."""

    def __init__(self) -> None:
        self.gain = torch.full((1, 1), 1.01, requires_grad=True)

    def filter(self, entries, ctx):
        return Filter(self.gain)


def test_gradients_reach_the_numbers_of_a_filter_through_a_rollout(make):
    task, predictor = make(ComputeSteps((0, 3))), Gain()
    task.rollout(task.batches[0], predictor, gradients=True)[-1].sum().backward()
    assert predictor.gain.grad is not None
    assert float(predictor.gain.grad) != 0


def test_a_rollout_keeps_its_features_as_the_run_will(make):
    latents = {}
    for dtype in (torch.float32, torch.bfloat16):
        task = make(ComputeSteps((0, 3)), HistoryPlace(dtype=dtype))
        latents[dtype] = task.rollout(task.batches[0], Hold())[-1]
    assert latents[torch.bfloat16].dtype == torch.float32
    assert not torch.equal(latents[torch.bfloat16], latents[torch.float32])
    torch.testing.assert_close(latents[torch.bfloat16], latents[torch.float32], atol=0.05, rtol=0.05)


def test_true_histories_show_a_gate_the_latent_of_the_newest_computed_step(make):
    class EverySecond(SchedulePolicy):
        dynamic = True

        def __init__(self) -> None:
            self.seen = []

        def decide(self, ctx):
            if ctx.computed_latent is not None:
                self.seen.append((ctx.index, torch.equal(ctx.computed_latent, latents[ctx.index - 1])))
            return Decision.PREDICT if ctx.index % 2 else Decision.COMPUTE

    gate = EverySecond()
    task = make(gate)
    latents = task.uncached(task.batches[0])
    shown = []
    task.uncached(task.batches[0], TrueHistory(task, Hold(), lambda history, ctx, feature: shown.append(ctx.index)))
    assert shown == [1, 3, 5]
    assert [index for index, newest in gate.seen if newest] == [1, 3, 5]
