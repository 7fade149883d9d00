"""What the gates share: the first and the last steps are computed, and never too many in a row predicted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor

from lesa_framework import Decision, Imported, Published, ScheduleConfig, SchedulePolicy, StepContext


class Gate(SchedulePolicy):
    """Compute a step when an estimate of the error since the newest computed step reaches a threshold.

    Args:
        threshold: The error at which a step is computed.
        warmup: How many first steps are computed.
        max_predicted: The most steps that are predicted in a row.
    """

    def __init__(self, threshold: float, warmup: int, max_predicted: int) -> None:
        self._threshold, self._warmup, self._max_predicted = threshold, warmup, max_predicted

    def decide(self, ctx: StepContext) -> Decision:
        """Predict while the error is small, it is known, and the bounds allow it."""
        newest = next((entry.step for entry in ctx.entries if entry.computed), None)
        if newest is None or ctx.index < self.first(ctx.num_steps) or ctx.index == ctx.num_steps - 1:
            return Decision.COMPUTE
        if ctx.index - newest > self._max_predicted:
            return Decision.COMPUTE
        # Written so that NaN is computed.
        return Decision.PREDICT if self.error(ctx, newest) < self._threshold else Decision.COMPUTE

    def first(self, num_steps: int) -> int:  # noqa: ARG002 - for those that count in parts of a run
        """The first step that may be predicted."""
        return self._warmup

    @abstractmethod
    def error(self, ctx: StepContext, newest: int) -> float:
        """The estimate at this step, `newest` being the newest computed one; NaN when it cannot be told."""


def relative_changes(latents: list[Tensor]) -> list[float]:
    """The change from each latent to the next, relative to the earlier one: means of absolute values."""
    changes = [
        (later.float() - earlier.float()).abs().mean() / earlier.float().abs().mean()
        for earlier, later in pairwise(latents)
    ]
    return [float(change) for change in torch.stack(changes).tolist()]  # one wait for the device


class GateConfig(ScheduleConfig):
    """What every gate can be told."""

    max_predicted: int = Field(6, ge=1)
    """The most steps that are predicted in a row."""


class CalibratedGateConfig(GateConfig):
    """What a gate with numbers of a model's own can be told."""

    source: str = Field("", max_length=500)
    """Where imported numbers come from; nothing depends on it."""
    licence: str = Field("", max_length=200)
    """The licence of imported numbers; nothing depends on it."""

    @classmethod
    def imported(cls, published: Published, setting: str, numbers: Sequence[float], note: str = "") -> Imported:
        """A configuration with the gate's own numbers, where they come from, and reuse."""
        record = {"source": published.source, "licence": published.licence}
        known = {key: value for key, value in record.items() if value}
        gate = {"kind": cls.model_fields["kind"].default, setting: list(numbers), **known}
        return Imported({"schedule": gate, "predictor": {"kind": "reuse"}}, note=note)
