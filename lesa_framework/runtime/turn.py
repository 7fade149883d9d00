"""One call of the model for all branches that come in it, each in an equal part of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from lesa_framework.errors import PluginContractError
from lesa_framework.runtime.asking import Asking
from lesa_framework.runtime.calls.tracking import Located
from lesa_framework.runtime.engine import Engine, Step
from lesa_framework.types import Decision, Reason


class Turn(Protocol):
    """A call in progress.

    Attributes:
        prediction: The feature to use in place of the block stack's; None when the stack is to run.
    """

    prediction: Tensor | None

    def asking(self) -> Sequence[Asking | None]:
        """How to ask the model, if the stack is to run: for each branch, in their order in the batch."""

    def computed(self, feature: Tensor) -> Tensor:
        """Use a feature that the block stack computed; returns the one for the head."""

    def end(self, feature: Tensor) -> None:
        """Close the call with the feature that was used."""


def take_turn(engine: Engine, located: Located, latent: Tensor, guidance: Callable[[], float | None]) -> Turn:
    """Open a call: decide for each branch, and predict if all of them are predicted."""
    if len(located.parts) == 1:
        return _Alone(engine, engine.begin(located.parts[0], latent, guidance))
    parts = _split(latent, len(located.parts), "latent")
    steps = [(place, engine.open(located.parts[place], parts[place], guidance)) for place in located.order]
    return _Together(engine, steps)


class _Alone:
    """A call of one branch."""

    def __init__(self, engine: Engine, step: Step) -> None:
        self._engine, self._step, self.prediction = engine, step, step.prediction

    def asking(self) -> Sequence[Asking | None]:
        return [self._engine.asking(self._step)]

    def computed(self, feature: Tensor) -> Tensor:
        return self._engine.computed(self._step, feature)

    def end(self, feature: Tensor) -> None:
        self._engine.end(self._step, feature)


class _Together:
    """A call of several branches, worked on in turn, so that each sees what it would see in calls of their own.

    The block stack runs for the whole batch or not at all: where one branch is to be computed, all are.
    """

    def __init__(self, engine: Engine, steps: Sequence[tuple[int, Step]]) -> None:
        self._engine, self._steps = engine, steps
        self._remembered: dict[int, Tensor] = {}  # by their places in the batch
        self.prediction = self._predict()

    def asking(self) -> Sequence[Asking | None]:
        return [self._engine.asking(step) for _, step in sorted(self._steps, key=lambda each: each[0])]

    def computed(self, feature: Tensor) -> Tensor:
        given = _split(feature, len(self._steps), "feature")
        used = list(given)
        for place, step in self._steps:
            if place in self._remembered:  # predicted before another branch's prediction was refused
                used[place] = self._remembered[place]
                continue
            self._engine.refresh(step)
            used[place] = self._engine.computed(step, given[place])
            self._remember(place, step, used[place])
        same = all(one is other for one, other in zip(used, given, strict=True))
        return feature if same else torch.cat(used)

    def end(self, feature: Tensor) -> None:
        parts = _split(feature, len(self._steps), "feature")
        for place, step in self._steps:
            self._engine.close_step(step, parts[place])

    def _predict(self) -> Tensor | None:
        if any(step.record.decision is Decision.COMPUTE for _, step in self._steps):
            self._compute()
            return None
        for place, step in self._steps:
            self._engine.refresh(step)
            self._engine.predict(step)
            if step.prediction is None:
                self._compute()
                return None
            self._remember(place, step, step.prediction)
        return torch.cat([self._remembered[place] for place in range(len(self._steps))])

    def _compute(self) -> None:
        for place, step in self._steps:
            if step.record.decision is Decision.PREDICT and place not in self._remembered:
                self._engine.give_up(step, Reason.BATCH)

    def _remember(self, place: int, step: Step, used: Tensor) -> None:
        self._engine.remember(step, used)
        self._remembered[place] = used


def _split(tensor: Tensor, count: int, what: str) -> tuple[Tensor, ...]:
    if tensor.ndim == 0 or tensor.shape[0] % count:
        raise PluginContractError(
            f"host: it named {count} branches, but the {what} {tuple(tensor.shape)} cannot be split into as many equal "
            "parts along its first axis."
        )
    return tensor.chunk(count)
