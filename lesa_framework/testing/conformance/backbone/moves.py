"""May the model be moved while a session is attached?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing.conformance.backbone.trial import NotApplicableError, Trial
from lesa_framework.testing.conformance.probes import Oracle


def may_change_its_dtype(trial: Trial) -> None:
    """After `model.to(torch.bfloat16)` under a session, a replay is exact in bfloat16."""
    kept: str | None = trial.adapter.timestep_argument
    try:
        _runs_in_bfloat16(trial, kept)
    except RuntimeError:
        # Some samplers keep timesteps exact, others cast them like the rest; a model may support only one of the two.
        kept = None
        try:
            _runs_in_bfloat16(trial, kept)
        except RuntimeError as error:
            raise NotApplicableError(f"the bare model does not run in bfloat16: {error}") from error
    _replays_after(trial, lambda model: model.to(torch.bfloat16), kept)


def may_change_its_device(trial: Trial) -> None:
    """After `model.to(device)` under a session, a replay is exact: on the CPU, and on a GPU where there is one."""
    kept = trial.adapter.timestep_argument
    _replays_after(trial, lambda model: model.to("cpu"), kept)
    if torch.cuda.is_available():
        _replays_after(trial, lambda model: model.to("cuda"), kept)


def _runs_in_bfloat16(trial: Trial, kept: str | None) -> None:
    bare = trial.make_model().to(torch.bfloat16)
    with _inputs_follow(bare, kept):
        trial.sample(bare, steps=1)


def _replays_after(trial: Trial, move: Callable[[nn.Module], nn.Module], kept: str | None) -> None:
    model, recorder = move(trial.make_model()), Recorder()
    with _inputs_follow(model, kept), trial.attach(model, None, recorder=recorder):
        expected = trial.sample(model)
    model, oracle = trial.make_model(), Oracle(trial.computed[1].features)
    with _inputs_follow(model, kept), trial.attach(model, [0], oracle):
        trial.sample(model)
        move(model)
        oracle.features = recorder.features
        outputs = trial.sample(model)
    weight = next(model.parameters())
    trial.require(outputs, expected, f"a replay must be exact after the move to {weight.device}, {weight.dtype}")


@contextmanager
def _inputs_follow(model: nn.Module, kept: str | None) -> Iterator[None]:
    """Casts what the model is called with to its device and dtype, so that `call` need not know of the move.

    The argument named `kept` keeps its dtype.
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
        positional = (*zip(args, names, strict=False),)
        return (
            tuple(follow(value, name == kept) for value, name in positional),
            {name: follow(value, name == kept) for name, value in kwargs.items()},
        )

    handle = model.register_forward_pre_hook(cast, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
