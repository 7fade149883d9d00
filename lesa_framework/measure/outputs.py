"""The transformer's output at every step: kept for the uncached run, compared with it for the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from lesa_framework.api import Pipeline, transformers_of


class Outputs:
    """The outputs of a run, in the order of the calls.

    Attributes:
        calls: One tensor for each call, float32 on the CPU; empty for a run that is compared.
        steps: After how many calls each step ended.
    """

    def __init__(self, reference: Sequence[Tensor] | None = None) -> None:
        self.calls: list[Tensor] = []
        self.steps: list[int] = []
        self._reference = reference
        self._made = 0
        self._distances: list[tuple[float, float]] = []

    def take(self, output: Any) -> None:
        """Record what a call returned."""
        tensor: Tensor = output[0].detach()
        if self._reference is None:
            # Through numpy, so that what is kept here is not counted as the run's own memory.
            self.calls.append(torch.from_numpy(tensor.float().cpu().numpy().copy()))
        elif self._made < len(self._reference):
            self._distances.append(_distance(tensor.float().cpu(), self._reference[self._made]))
        self._made += 1

    def end_step(self) -> None:
        """Count one step of the sampler."""
        self.steps.append(self._made)

    def step_rel_l2(self, reference_steps: Sequence[int]) -> list[float | None]:
        """Distance from the reference over its norm, each step's calls (branches) taken together.

        Args:
            reference_steps: After how many calls each step of the uncached run ended.

        Returns:
            A number for each step; empty when the runs did not make the same calls.
        """
        if self.steps != list(reference_steps):
            return []
        starts = [0, *self.steps[:-1]]
        return [_ratio(self._distances[start:end]) for start, end in zip(starts, self.steps, strict=True)]


@contextmanager
def taking_outputs(pipe: Pipeline, outputs: Outputs) -> Iterator[None]:
    """Record in `outputs`, inside the context, what every call of the pipeline's transformers returns."""

    def after(module: object, arguments: object, output: Any) -> None:  # noqa: ARG001
        outputs.take(output)

    with ExitStack() as stack:
        for model in transformers_of(pipe).values():
            stack.callback(model.register_forward_hook(after).remove)
        yield


def _distance(output: Tensor, reference: Tensor) -> tuple[float, float]:
    if output.shape != reference.shape:
        return math.nan, math.nan
    return float((output - reference).double().square().sum()), float(reference.double().square().sum())


def _ratio(calls: Sequence[tuple[float, float]]) -> float | None:
    off, whole = sum(each[0] for each in calls), sum(each[1] for each in calls)
    value = math.sqrt(off / whole) if whole > 0 else math.nan
    return value if math.isfinite(value) else None
