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
