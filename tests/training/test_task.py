"""What a fit is handed: rollouts with the run's own history, and the true features beside the latents."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from lesa_framework import (
    AffinePredictor,
    Decision,
    Filter,
    HistoryPlace,
    Reason,
    Reuse,
    RunInfo,
    SchedulePolicy,
    StepRecord,
    Strategy,
    TrainingConfig,
)
from lesa_framework.api import attach_strategy
from lesa_framework.interfaces.schedule import Always
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, attach, even_grid
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.testing.tiny_pipeline import noise
from lesa_framework.training import Sampler, Task, TrueHistory, drift
from lesa_framework.training.task import make_batches
from lesa_framework.types import AS_MADE, Tap
from tests.test_two_transformers import TwoTransformers
from tests.toys import CHANNELS, TOKENS, ToyAdapter, ToyPipeline, register_toy

STEPS = 6


@pytest.fixture
def make(monkeypatch):
    register_toy(monkeypatch, "toy", ToyAdapter)

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
        latents[dtype] = task.rollout(task.batches[0], Reuse())[-1]
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
    task.uncached(task.batches[0], TrueHistory(task, Reuse(), lambda history, ctx, feature: shown.append(ctx.index)))
    assert shown == [1, 3, 5]
    assert [index for index, newest in gate.seen if newest] == [1, 3, 5]


def watch(task, predictor, sigmas, visit):
    """True histories of a tiny model that is called at these noise levels."""
    observer, model = TrueHistory(task, predictor, visit), TinyDiT()
    bare = Strategy(Always(), EqualStages(), Reuse())
    with torch.no_grad(), attach(model, TinyDiTAdapter(), bare, even_grid(8), observers=(observer,)):
        for sigma in sigmas:
            model(noise((1, 5, 4), 0), sigma, noise((1, 3, 4), 1))


def test_true_histories_keep_features_as_a_run_does(make):
    found = {}
    for dtype in (None, torch.bfloat16):
        task = make(ComputeSteps((0, 2)), HistoryPlace(dtype=dtype))
        kept = found[dtype] = []
        watch(task, Reuse(), even_grid(8)[:4], lambda history, ctx, feature, kept=kept: kept.append(history.feature(0)))
    assert found[None]
    for exact, rounded in zip(found[None], found[torch.bfloat16], strict=True):
        assert torch.equal(rounded, exact.to(torch.bfloat16).float())
        assert not torch.equal(rounded, exact)


def test_true_histories_leave_out_calls_whose_step_is_unknown(make):
    class Two(Reuse):
        depth = 2

    grid, shown = even_grid(8), []
    sigmas = [*grid[:3], 0.4321, grid[5]]
    watch(
        make(ComputeSteps((0, 2))), Two(), sigmas,
        lambda history, ctx, feature: shown.append((ctx.index, [entry.step for entry in history.entries])),
    )  # fmt: skip
    assert shown == [(1, [0]), (5, [2, 0])]


@pytest.mark.usefixtures("registered")
def test_true_histories_number_the_branches_of_each_transformer_as_a_run_does(make):
    seen, pipe = set(), TwoTransformers()
    observer = TrueHistory(
        make(ComputeSteps((0,))), Reuse(), lambda history, ctx, feature: seen.add((ctx.branch, ctx.branch_index))
    )
    with attach_strategy(pipe, Strategy(Always(), EqualStages(), Reuse()), observers=(observer,)):
        pipe(guidance=2.0)
    assert seen == {
        (name + second, number)
        for number, name in enumerate(("branch0", "branch1")) for second in ("", " (transformer_2)")
    }  # fmt: skip


def test_true_histories_are_freed_when_the_run_ends(make):
    kept = []
    gc.disable()  # what a cycle keeps alive would be freed at some time
    try:
        watch(
            make(ComputeSteps((0,))), Reuse(), even_grid(8)[:4],
            lambda history, ctx, feature: kept.append(weakref.ref(history)),
        )  # fmt: skip
        assert len(kept) == 3
        assert all(history() is None for history in kept)
    finally:
        gc.enable()


def test_activations_are_recomputed_only_within_a_rollout_that_asks_for_it(make, monkeypatch):
    task, switched = make(ComputeSteps((0, 3))), []
    model = task.sampler.pipe.transformer
    monkeypatch.setattr(model, "_supports_gradient_checkpointing", True, raising=False)
    monkeypatch.setattr(model, "is_gradient_checkpointing", False, raising=False)
    monkeypatch.setattr(model, "enable_gradient_checkpointing", lambda: switched.append(True), raising=False)
    monkeypatch.setattr(model, "disable_gradient_checkpointing", lambda: switched.append(False), raising=False)
    batch = task.batches[0]
    task.rollout(batch, Gain(), gradients=True, through_model=True)
    assert switched == []
    task.rollout(batch, Gain(), gradients=True, through_model=True, checkpointing=True)
    assert switched == [True, False]
    model.is_gradient_checkpointing = True  # the user's own choice is left alone
    task.rollout(batch, Gain(), gradients=True, through_model=True, checkpointing=True)
    assert switched == [True, False]


class Guided(ToyPipeline):
    """Calls the model once for both halves of guidance."""

    @torch.no_grad()
    def __call__(self, prompt, num_inference_steps, generator, output_type, return_dict):
        latent = torch.cat([torch.randn(1, TOKENS, CHANNELS, generator=each) for each in generator])
        self.scheduler.set_timesteps(num_inference_steps)
        for sigma in self.scheduler.sigmas[:-1]:
            twice = torch.cat([latent, latent])
            one, other = self.transformer(twice, sigma.expand(len(twice)), return_dict=False)[0].chunk(2)
            latent = self.scheduler.step(other + 2 * (one - other), latent)
        return (latent,)


def test_a_model_that_guides_in_one_call_has_a_latent_for_each_sample(make):
    task = replace(make(ComputeSteps((0, 3))), sampler=Sampler(Guided(), STEPS, {}))
    (batch,) = task.batches
    uncached = task.uncached(batch)
    assert {len(latent) for latent in uncached} == {2}
    assert [tuple(each.shape) for each in drift(task.rollout(batch, Reuse()), uncached)] == [(2,)] * (STEPS + 1)


def test_a_true_history_begins_anew_where_the_latent_changes_its_shape_as_in_a_run(make):
    task, shown = make(ComputeSteps((0, 4))), []
    observer = TrueHistory(
        task, Reuse(), lambda history, ctx, _: shown.append((ctx.index, [entry.step for entry in history.entries]))
    )
    observer.lesa_run_start(RunInfo(task.sigmas, "toy", Tap.PRE_HEAD))
    for step in range(STEPS):
        latent, feature = (
            (torch.zeros(1, 1, 2), torch.zeros(1, 5)) if step == 0 else (torch.zeros(1, 2), torch.zeros(1, 3))
        )
        observer.lesa_step_end(StepRecord(step, "a", 0, Decision.COMPUTE, Reason.SCHEDULE), latent, feature)
    assert shown == [(2, [1]), (3, [1]), (5, [4])]


def test_a_true_history_computes_after_a_missed_computed_step_as_a_run_does(make):
    task, shown = make(ComputeSteps((0, 2))), []
    observer = TrueHistory(task, Reuse(), lambda history, ctx, _: shown.append((ctx.branch, ctx.index)))
    observer.lesa_run_start(RunInfo(task.sigmas, "toy", Tap.PRE_HEAD))
    for step in range(STEPS):
        for branch in ("a", "b") if step in (0, 3, 4) else ("a",):
            record = StepRecord(step, branch, 0, Decision.COMPUTE, Reason.SCHEDULE)
            observer.lesa_step_end(record, torch.zeros(1, 2), torch.zeros(1, 3))
    assert shown == [("a", 1), ("a", 3), ("a", 4), ("b", 4), ("a", 5)]
