"""May the model be moved while a session is attached?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lesa_framework.testing.conformance.backbone.subject import NotApplicableError, Trial
from lesa_framework.testing.conformance.probes import Oracle, Recorder


def may_change_its_dtype(trial: Trial) -> None:
    """After `model.to(torch.bfloat16)` under a session, a replay is exact in bfloat16."""
    bare = trial.subject.make_model().to(torch.bfloat16)
    with _inputs_follow(bare, trial.adapter.timestep_argument):
        try:
            trial.subject.sample(bare, steps=1)
        except RuntimeError as error:
            raise NotApplicableError(f"the bare model does not run in bfloat16: {error}") from error
    _replays_after(trial, lambda model: model.to(torch.bfloat16))


def may_change_its_device(trial: Trial) -> None:
    """After `model.to(device)` under a session, a replay is exact: on the CPU, and on a GPU where there is one."""
    _replays_after(trial, lambda model: model.to("cpu"))
    if torch.cuda.is_available():
        _replays_after(trial, lambda model: model.to("cuda"))


def _replays_after(trial: Trial, move: Callable[[nn.Module], nn.Module]) -> None:
    subject, name = trial.subject, trial.adapter.timestep_argument
    model, recorder = move(subject.make_model()), Recorder()
    with _inputs_follow(model, name), trial.attach(model, None, recorder=recorder):
        expected = subject.sample(model)
    model, oracle = subject.make_model(), Oracle(trial.computed[1].features)
    with _inputs_follow(model, name), trial.attach(model, [0], oracle):
        subject.sample(model)
        move(model)
        oracle.features = recorder.features
        outputs = subject.sample(model)
    weight = next(model.parameters())
    trial.require(outputs, expected, f"a replay must be exact after the move to {weight.device}, {weight.dtype}")


@contextmanager
def _inputs_follow(model: nn.Module, timestep: str) -> Iterator[None]:
    """Casts what the model is called with to its device and dtype, so that `call` need not know of the move.

    Samplers keep timesteps exact; so they keep their dtype here.
    """
    names = list(inspect.signature(type(model).forward).parameters)[1:]

    def follow(value: Any, keep: bool) -> Any:
        if isinstance(value, Tensor):
            weight = next(model.parameters())
            return value.to(weight.device, weight.dtype if value.is_floating_point() and not keep else value.dtype)
        if isinstance(value, list | tuple):
            return type(value)(follow(item, keep) for item in value)
        return value

    def cast(_: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        positional = tuple(
            follow(value, position < len(names) and names[position] == timestep) for position, value in enumerate(args)
        )
        return positional, {name: follow(value, name == timestep) for name, value in kwargs.items()}

    handle = model.register_forward_pre_hook(cast, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
