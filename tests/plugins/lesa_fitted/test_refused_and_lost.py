"""What a fit refuses, and what it does with numbers that are not finite and with too little memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lesa_fitted import fit as fit_module
from lesa_fitted.end_to_end import EndToEnd
from lesa_fitted.fit import FittedFit
from lesa_fitted.fitted import Fitted
from lesa_fitted.predictor import FittedPredictorConfig
from lesa_fitted.settings import FittedTrainingConfig
from lesa_fitted.table import TableShape
from lesa_framework import ConfigError, Decision, LesaError, Reason, StepRecord
from lesa_framework.processes import World
from lesa_framework.testing import even_grid
from lesa_framework.training import Task
from tests.toys import STEPS

REFINED = FittedTrainingConfig(fit="end_to_end", iterations=12, held_out=0.5)


def twice(task):
    """The task on a grid that has a noise level twice, as samplers of second order have them."""
    sigmas = list(task.sigmas)
    sigmas[5] = sigmas[4]
    make_steps = task.sampler.pipe.scheduler.set_timesteps

    def set_timesteps(count):
        make_steps(count)
        task.sampler.pipe.scheduler.sigmas = torch.tensor(sigmas)

    task.sampler.pipe.scheduler.set_timesteps = set_timesteps
    return replace(task, sigmas=tuple(sigmas))


def test_where_a_noise_level_comes_twice_filters_aim_at_features(make_task):
    fit = FittedPredictorConfig().fit(twice(make_task(FittedTrainingConfig())))
    for _ in fit.run():
        pass
    assert fit._found.target == "feature"
    assert fit.tensors()["weights"].isfinite().all()


def test_the_trajectory_is_refused_where_a_noise_level_comes_twice(make_task):
    fit = FittedPredictorConfig().fit(twice(make_task(FittedTrainingConfig(target="trajectory"))))
    with pytest.raises(ConfigError, match=r"training\.target: 'trajectory' needs noise levels that fall"):
        next(fit.run())


class TakingTurns(Task):
    """Its runs call one transformer in the first half of the steps, and another one in the second."""

    def rollout(self, batch, predictor, *, observers=(), **_):
        latent = torch.zeros(1, 2)
        for index in range(STEPS):
            record = StepRecord(index, f"cond ({2 * index // STEPS})", 0, Decision.COMPUTE, Reason.SCHEDULE)
            for observer in observers:
                observer.lesa_step_end(record=record, latent=latent, feature=latent)
        return [latent] * (STEPS + 1)


def test_transformers_that_take_turns_are_refused_with_what_to_do_in_a_search(make_task):
    fit = FittedPredictorConfig().fit(TakingTurns(**vars(make_task(FittedTrainingConfig()))))
    ways = f"{STEPS} calls were seen in {STEPS} steps of 2 branches.* --predictor taylorseer, or --guide taylorseer"
    with pytest.raises(ConfigError, match=ways):
        next(fit.run())


@pytest.mark.parametrize("lost", ["trajectory", "feature"])
def test_a_target_whose_trial_is_not_finite_is_not_chosen(make_task, monkeypatch, lost):
    task = make_task(FittedTrainingConfig(), curved=True)
    tried = []

    def roll_out(self, predictor, number, original=FittedFit._roll_out):
        tried.append(predictor._rows.target)
        decibels = original(self, predictor, number)
        return -100.0 if predictor._rows.target == lost else decibels

    monkeypatch.setattr(fit_module.FittedFit, "_roll_out", roll_out)
    fit = FittedPredictorConfig().fit(task)
    for _ in fit.run():
        pass
    assert {"trajectory", "feature"} <= set(tried)
    assert fit._found.target != lost


def test_an_iteration_without_a_finite_gradient_changes_nothing_and_the_next_ones_go_on(make_task, monkeypatch):
    task, states = make_task(REFINED), []
    roll_out = Task.rollout

    def rollout(self, batch, predictor, *, gradients=False, **keys):
        found = roll_out(self, batch, predictor, gradients=gradients, **keys)
        if gradients:
            states.append([each.detach().clone() for each in predictor.parameters])
        return [*found[:-1], found[-1] * float("nan")] if gradients and len(states) == 3 else found

    monkeypatch.setattr(Task, "rollout", rollout)
    fit = FittedPredictorConfig().fit(task)
    losses = [step.loss for step in fit.run() if step.stage == "end to end"]
    assert [number for number, loss in enumerate(losses) if loss is None] == [0, 3], "the first look, and the lost one"
    assert all(torch.equal(before, after) for before, after in zip(states[2], states[3], strict=True))
    assert not all(torch.equal(before, after) for before, after in zip(states[3], states[4], strict=True))
    assert all(tensor.isfinite().all() for tensor in fit.tensors().values())


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no room"), RuntimeError("DefaultCPUAllocator: no room")])
@pytest.mark.parametrize(("fails_at", "size", "resumes"), [(3, 1, False), (0, 2, False), (10, 2, True)])
def test_too_little_memory_in_the_middle_or_in_one_of_several_processes_ends_the_fit(
    make_task, monkeypatch, fails_at, size, resumes, error
):
    def step(self, *args, original=EndToEnd._step):
        if self.iteration == fails_at:
            raise error
        return original(self, *args)

    monkeypatch.setattr(EndToEnd, "_step", step)
    fit = FittedPredictorConfig().fit(make_task(REFINED, world=World(0, size)))
    with pytest.raises(LesaError, match="out of memory in the refinement") as caught:
        list(fit.run())
    assert ("it resumes from the last checkpoint" in str(caught.value)) is resumes


def test_another_error_in_the_refinement_is_not_taken_for_too_little_memory(make_task, monkeypatch):
    def fail(*_):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(EndToEnd, "_step", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(FittedPredictorConfig().fit(make_task(REFINED)).run())


@pytest.mark.parametrize("records", ["computed", "all"])
def test_a_table_that_reads_predictions_serves_no_other_grid(records):
    shape = TableShape(STEPS, (0, 3), 2, ("cond",), records=records)
    table = Fitted(shape, torch.zeros(shape.size), even_grid(STEPS))
    assert table.carries_over is (records == "computed")
