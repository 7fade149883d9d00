"""The suite of schedules must find what is wrong: each of these breaks the contract in one way."""

from __future__ import annotations

from typing import Literal

import pytest

from lesa_framework import (
    Always,
    ConfigError,
    Decision,
    ScheduleConfig,
    SchedulePolicy,
)
from lesa_framework.testing import (
    check_schedule,
)


class Alternating(SchedulePolicy):
    def __init__(self):
        self.calls = 0

    def decide(self, ctx):
        self.calls += 1
        return Decision.COMPUTE if self.calls % 2 else Decision.PREDICT


class Secretive(SchedulePolicy):
    """Reads the latent when there is one, and does not say so."""

    def decide(self, ctx):
        return Decision.COMPUTE if ctx.latent is None or ctx.latent.mean() > 0 else Decision.PREDICT


class Careless(SchedulePolicy):
    def decide(self, ctx):
        return Decision.COMPUTE if ctx.latent.mean() > 0 else Decision.PREDICT


class Gate(SchedulePolicy):
    dynamic = True

    def decide(self, ctx):
        moved = ctx.computed_latent is None or (ctx.latent - ctx.computed_latent).abs().mean() > 1.1
        return Decision.COMPUTE if moved else Decision.PREDICT


class ForgetsTheFirstStep(Gate):
    def decide(self, ctx):
        return Decision.COMPUTE if float((ctx.latent - ctx.computed_latent).abs().sum()) > 1 else Decision.PREDICT


class Remembers(Gate):
    def __init__(self):
        self.before = None

    def decide(self, ctx):
        moved = self.before is None or (ctx.latent - self.before).mean() > 0
        self.before = ctx.latent
        return Decision.COMPUTE if moved else Decision.PREDICT


class Realistic(SchedulePolicy):
    """Computes where the latent has moved by so much, as gates do, and does not say that it reads latents.

    Args:
        threshold: Relative change.
    """

    def __init__(self, threshold):
        self.threshold = threshold

    def decide(self, ctx):
        if ctx.latent is None or ctx.computed_latent is None:
            return Decision.COMPUTE
        return Decision.COMPUTE if self.change(ctx) > self.threshold else Decision.PREDICT

    def change(self, ctx):
        return float((ctx.latent - ctx.computed_latent).abs().sum() / ctx.computed_latent.abs().sum())


class AddsUp(Realistic):
    """Adds the changes up in a number of its own, which every branch of a run would share."""

    dynamic = True

    def __init__(self, threshold):
        super().__init__(threshold)
        self.sum = 0.0

    def change(self, ctx):
        self.sum += super().change(ctx)
        found = self.sum
        if found > self.threshold:
            self.sum = 0.0
        return found


class WritesLatent(Gate):
    def decide(self, ctx):
        ctx.latent.zero_()
        return Decision.COMPUTE


class WritesPath(Gate):
    reads_path = True

    def decide(self, ctx):
        for latent in ctx.path.values():
            latent.zero_()
        return Decision.COMPUTE


class SecretPath(Always):
    reads_path = True


class Wordy(SchedulePolicy):
    def decide(self, ctx):
        return "yes"


class Never(SchedulePolicy):
    def check(self, num_steps):
        raise ConfigError("no")

    def decide(self, ctx):
        return Decision.COMPUTE


def test_a_gate_passes():
    class GateConfig(ScheduleConfig):
        kind: Literal["gate"] = "gate"

        def build(self) -> SchedulePolicy:
            return Gate()

    check_schedule(GateConfig())


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Alternating, "depends on more than the context"),
        (Secretive, "the answer depends on the latent; .* declares `dynamic = True`"),
        (Careless, "fails without latents .* declares `dynamic = True`"),
        (ForgetsTheFirstStep, "fails in a run .* may be None"),
        (Remembers, "depends on more than the context"),
        (WritesLatent, "wrote to a latent"),
        (WritesPath, "wrote to a latent"),
        (SecretPath, "declares `reads_path`; it must declare `dynamic = True`"),
        (Wordy, "'yes', which is not a Decision"),
        (Never, "refuses every one"),
    ],
)
def test_schedules_that_break_the_contract(made, message):
    class BadConfig(ScheduleConfig):
        kind: Literal["bad"] = "bad"

        def build(self) -> SchedulePolicy:
            return made()

    with pytest.raises(AssertionError, match=message):
        check_schedule(BadConfig())


@pytest.mark.parametrize("threshold", [0.02, 0.05, 0.15, 0.3, 1.0])
@pytest.mark.parametrize(
    ("made", "message"),
    [(Realistic, "the answer depends on the latent"), (AddsUp, "depends on more than the context")],
)
def test_gates_are_tried_on_latents_that_move_as_slowly_as_a_run_s(made, message, threshold):
    class BadConfig(ScheduleConfig):
        kind: Literal["bad"] = "bad"

        def build(self) -> SchedulePolicy:
            return made(threshold)

    with pytest.raises(AssertionError, match=message):
        check_schedule(BadConfig())
