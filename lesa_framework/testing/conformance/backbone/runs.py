"""Does a run depend on nothing but itself?"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import nn

from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing.conformance.backbone.trial import COMPUTED, SIGMAS, Trial
from lesa_framework.testing.conformance.traces import changes, differences, traces
from lesa_framework.types import Decision


def second_run_is_fresh(trial: Trial) -> None:
    """Two runs in a row give what two fresh sessions give."""
    model = trial.make_model()
    with trial.attach(model):
        for prompt in (1, 2):
            outputs = trial.sample(model, prompt=prompt)
            trial.require(outputs, trial.fresh(prompt=prompt), f"run {prompt} of a session must be as a fresh one")


def survives_an_exception(trial: Trial) -> None:
    """After an exception in the middle of a run, the next run is as a fresh one."""
    model = trial.make_model()
    with trial.attach(model):
        for step in (1, COMPUTED[-1]):
            _fail(trial, model, step)
            outputs = trial.sample(model)
            trial.require(outputs, trial.fresh(), "the run after an exception must be as a fresh one")


def survives_another_shape(trial: Trial) -> None:
    """When the latent's shape changes within a run, that step is computed."""
    recorder = Recorder()
    model = trial.make_model()
    with trial.attach(model, [0], recorder=recorder), torch.no_grad():
        for size, sigma in ((1, SIGMAS[0]), (1, SIGMAS[1]), (2, SIGMAS[2])):
            output = trial.call(model, trial.latent(size), sigma, 1)
    with trial.attach(model, None), torch.no_grad():
        expected = trial.call(model, trial.latent(2), SIGMAS[2], 1)
    trial.require([output], [expected], "a step on which the shape changes must be computed")
    decisions = [record.decision for record in recorder.records]
    assert decisions == [Decision.COMPUTE, Decision.PREDICT, Decision.COMPUTE], f"decisions were {decisions}"


def next_run_may_have_another_shape(trial: Trial) -> None:
    """A run with another latent shape is as in a fresh session."""
    _sizes(trial, (1, 1), (2, 1), (1, 1))


def next_run_may_have_another_batch_size(trial: Trial) -> None:
    """A run with another batch size is as in a fresh session."""
    _sizes(trial, (1, 1), (1, 2), (1, 1))


def detaching_leaves_no_trace(trial: Trial) -> None:
    """After `detach()` the model is as before: outputs, attributes, hooks, modules and class."""
    model = trial.make_model()
    trial.sample(model)
    before = traces(model)
    bare = trial.sample(model)
    own = changes(before, traces(model))  # some models keep what their forward makes
    before = traces(model)
    with trial.attach(model):
        trial.sample(model)
    left = differences(before, traces(model), ignoring=own)
    assert not left, "detaching left traces: " + "; ".join(left)
    trial.require(trial.sample(model), bare, "a detached model must be as before")


def _sizes(trial: Trial, *runs: tuple[int, int]) -> None:
    model = trial.make_model()
    with trial.attach(model):
        for size, batch in runs:
            outputs = trial.sample(model, size=size, batch=batch)
            trial.require(
                outputs,
                trial.fresh(size=size, batch=batch),
                f"a run with size {size} and {batch} times the samples must be as in a fresh session",
            )


class _PlannedError(Exception):
    """Thrown on purpose."""


def _fail(trial: Trial, model: nn.Module, step: int) -> None:
    """A run that breaks off at a step, in the head; if that is not called, right after the step."""
    thrown = []

    def fail(*_: Any) -> None:
        thrown.append(step)
        raise _PlannedError

    latent = trial.latent()
    with torch.no_grad(), suppress(_PlannedError), ExitStack() as stack:
        for sigma in SIGMAS[: step + 1]:
            if sigma == SIGMAS[step]:
                stack.callback(model.get_submodule(trial.adapter.head).register_forward_pre_hook(fail).remove)
            latent = 0.9 * latent
            trial.call(model, latent, sigma, 1)
        assert not thrown, "an exception in the model was swallowed"
