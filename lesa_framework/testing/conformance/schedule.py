"""What a schedule must keep to."""

from __future__ import annotations

from collections.abc import Sequence

from lesa_framework.errors import ConfigError
from lesa_framework.interfaces.schedule import ScheduleConfig, SchedulePolicy
from lesa_framework.runtime.engine import Strategy, plan
from lesa_framework.testing.conformance.probes import EqualStages, Hold
from lesa_framework.testing.sampling import even_grid
from lesa_framework.types import Decision, StepContext


def check_schedule(config: ScheduleConfig, *, num_steps: Sequence[int] = (20, 50)) -> None:
    """Check a schedule.

    Checked: it answers with a `Decision` without a latent; the answer depends on nothing but the context, in
    whatever order steps are asked for; a length of run that it cannot serve is refused with `ConfigError`; its
    configuration survives being written and read.

    Args:
        config: The configuration of the schedule under test.
        num_steps: Lengths of the runs it is asked about; at least one must be served.

    Raises:
        AssertionError: The schedule breaks the contract; the message says where.
    """
    again = type(config).model_validate(config.model_dump(mode="json"))
    assert again == config, f"{config.kind}: writing and reading the configuration gives another one: {again!r}"
    served = [steps for steps in num_steps if _serves(config.build(), steps)]
    assert served, f"{config.kind}: check() refuses every one of {list(num_steps)} steps"
    for steps in served:
        schedule = config.build()
        contexts = [ctx for ctx, _ in plan(Strategy(schedule, EqualStages(), Hold()), even_grid(steps))]
        decisions = [schedule.decide(ctx) for ctx in contexts]
        for ctx, decision in zip(contexts, decisions, strict=True):
            assert isinstance(decision, Decision), f"{_at(config, ctx)}: returned {decision!r}, which is no Decision"
        backwards = [schedule.decide(ctx) for ctx in reversed(contexts)][::-1]
        fresh = [config.build().decide(ctx) for ctx in contexts]
        for ctx, first, second, third in zip(contexts, decisions, backwards, fresh, strict=True):
            assert first is second is third, f"{_at(config, ctx)}: the answer depends on more than the context"


def _serves(schedule: SchedulePolicy, num_steps: int) -> bool:
    try:
        schedule.check(num_steps)
    except ConfigError:
        return False
    return True


def _at(config: ScheduleConfig, ctx: StepContext) -> str:
    return f"{config.kind}, step {ctx.index} of {ctx.num_steps}"
