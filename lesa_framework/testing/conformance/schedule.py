"""The contract of schedules, as a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lesa_framework.errors import ConfigError
from lesa_framework.grids import even_grid
from lesa_framework.interfaces.predictor import Reuse
from lesa_framework.interfaces.schedule import ScheduleConfig, SchedulePolicy
from lesa_framework.runtime.strategy import Strategy, plan
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.testing.tiny_pipeline import noise
from lesa_framework.types import Decision, StepContext

_SHAPE = (2, 3, 4)
_GAP = 3  # from one computed step to the next, for schedules that have no plan
_MORE = "the answer depends on more than the context"


def check_schedule(config: ScheduleConfig, *, num_steps: Sequence[int] = (20, 50)) -> None:
    """Check a schedule.

    Checked: it answers with a `Decision`; the answer depends on nothing but the context, in whatever order steps are
    asked for, and on latents only if it declares that it is `dynamic`; it does not write to them; a length of run that
    it cannot serve is refused with `ConfigError`; its configuration survives being written and read.

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
        assert schedule.dynamic or not schedule.reads_path, (
            f"{config.kind}: it declares `reads_path`; it must declare `dynamic = True` as well"
        )
        contexts = _contexts(config, schedule, steps)
        _check_latents(config, schedule, contexts, _checked_decisions(config, schedule, contexts))


def _checked_decisions(
    config: ScheduleConfig, schedule: SchedulePolicy, contexts: Sequence[StepContext]
) -> list[Decision]:
    try:
        decisions = [schedule.decide(ctx) for ctx in contexts]
    except (AttributeError, TypeError) as error:  # such as a gate that forgets the first step
        raise AssertionError(
            f"{config.kind}: fails in a run ({error}). `latent` and `computed_latent` may be None"
        ) from error
    for ctx, decision in zip(contexts, decisions, strict=True):
        assert isinstance(decision, Decision), f"{_at(config, ctx)}: returned {decision!r}, which is not a Decision"
    backwards = [schedule.decide(ctx) for ctx in reversed(contexts)][::-1]
    fresh = [config.build().decide(ctx) for ctx in contexts]
    for ctx, first, second, third in zip(contexts, decisions, backwards, fresh, strict=True):
        assert first is second is third, f"{_at(config, ctx)}: {_MORE}"
    return decisions


def _contexts(config: ScheduleConfig, schedule: SchedulePolicy, num_steps: int) -> list[StepContext]:
    """The contexts of a run: its own, or for a dynamic schedule those of another one, with latents."""
    policy = ComputeSteps(range(0, num_steps, _GAP)) if schedule.dynamic else schedule
    try:
        found = [ctx for ctx, _ in plan(Strategy(policy, EqualStages(), Reuse()), even_grid(num_steps))]
    except (AttributeError, TypeError) as error:
        raise AssertionError(
            f"{config.kind}: fails without latents ({error}). A schedule that reads them declares `dynamic = True`"
        ) from error
    return [_with_latents(ctx) for ctx in found] if schedule.dynamic else found


def _with_latents(ctx: StepContext) -> StepContext:
    newest = ctx.entries[0].step if ctx.entries else None
    return replace(
        ctx,
        latent=_latent(ctx.index, ctx.num_steps),
        computed_latent=None if newest is None else _latent(newest, ctx.num_steps),
        path={}
        if newest is None
        else {step: _latent(step, ctx.num_steps) for step in range(max(0, newest - _GAP), ctx.index)},
    )


def _latent(step: int, num_steps: int) -> Tensor:
    """The model's input at a step of a run: from one noise to another one, slowly at first.

    A gate with a usual threshold must see changes on either side of it, or it answers the same at every step.
    """
    part = (step / num_steps) ** 2
    return (1 - part) * noise(_SHAPE, 1) + part * noise(_SHAPE, 3)  # the means of these two differ in sign


def _check_latents(
    config: ScheduleConfig, schedule: SchedulePolicy, contexts: Sequence[StepContext], decisions: Sequence[Decision]
) -> None:
    for ctx, decision in zip(contexts, decisions, strict=True):
        shown, untouched = _with_latents(ctx), _with_latents(ctx)
        same = schedule.decide(shown) is decision
        assert same or not schedule.dynamic, f"{_at(config, ctx)}: {_MORE}"  # it was shown these latents before
        assert same, (
            f"{_at(config, ctx)}: the answer depends on the latent; a schedule that reads it declares `dynamic = True`"
        )
        for found, wanted in (
            (shown.latent, untouched.latent),
            (shown.computed_latent, untouched.computed_latent),
            *((held, untouched.path[step]) for step, held in shown.path.items()),
        ):
            intact = found is None or wanted is None or torch.equal(found, wanted)
            assert intact, f"{_at(config, ctx)}: wrote to a latent"


def _serves(schedule: SchedulePolicy, num_steps: int) -> bool:
    try:
        schedule.check(num_steps)
    except ConfigError:
        return False
    return True


def _at(config: ScheduleConfig, ctx: StepContext) -> str:
    return f"{config.kind}, step {ctx.index} of {ctx.num_steps}"
