"""Schedule, router and predictor together, and their plan for a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from torch import Tensor

from lesa_framework.errors import ConfigError, PluginContractError
from lesa_framework.interfaces.predictor import Predictor
from lesa_framework.interfaces.router import StageRouter
from lesa_framework.interfaces.schedule import NoiseLevels, SchedulePolicy
from lesa_framework.types import (
    AS_MADE,
    Choice,
    Decision,
    EntryInfo,
    HistoryPlace,
    HistoryView,
    Reason,
    RunInfo,
    StepContext,
)

#: Whether to compute, as this process sees it -> as all processes agree; see `attach_strategy`.
Agree: TypeAlias = Callable[[bool], bool]

#: What is done about predictions that are not finite: values are replaced, nothing, or the step is computed.
FiniteCheck: TypeAlias = bool | Literal["strict"]


def alone(compute: bool) -> bool:
    """The decision of the only process."""
    return compute


class StrategySource(Protocol):
    """Knows the strategy of a run when the run begins; a [`Strategy`][lesa_framework.Strategy] is that of every run."""

    def for_run(self, run: RunInfo) -> Strategy:
        """The strategy of a run; asked once, by one thread at a time."""


@dataclass
class Strategy:
    """The parts that a configuration builds and the engine joins.

    Args:
        schedule: Which steps to compute.
        router: Which stage a noise level is in.
        predictor: What the other steps get.
        check_finite: What is done about NaN and infinity in a prediction. True: they are replaced by the newest
            computed feature's values, on the device, and the branch's next step is computed once that is known.
            `strict`: the step itself is computed, which waits for the device at each prediction. False: nothing.
        history: Where the features are kept.
        choice: Why it is this one, where it was chosen for the run.

    Raises:
        ConfigError: The router's stages are not the predictor's.
        PluginContractError: The predictor asks for more history than it keeps.
    """

    schedule: SchedulePolicy
    router: StageRouter
    predictor: Predictor
    check_finite: FiniteCheck = True
    history: HistoryPlace = AS_MADE
    choice: Choice | None = None

    def __post_init__(self) -> None:
        wanted, given = self.predictor.num_stages, self.router.num_stages
        if wanted is not None and wanted != given:
            remedy = (
                "Set `router.kind` to `single`."
                if wanted == 1
                else f"Give `router.boundaries` {wanted - 1} noise level(s); `router.kind` is then `thresholds`."
            )
            raise ConfigError(f"router: it has {given} stage(s), but the predictor has experts for {wanted}. {remedy}")
        for stage in range(given):
            least = self.predictor.min_history(stage)
            if least > self.predictor.depth:
                raise PluginContractError(
                    f"{type(self.predictor).__name__}: min_history({stage}) is {least}, but depth is "
                    f"{self.predictor.depth}, so it could never predict. Raise depth."
                )

    def for_run(self, run: RunInfo) -> Strategy:
        """Itself, as it is on the run's grid."""
        return self.on(run.sigmas)

    def on(self, sigmas: Sequence[float]) -> Strategy:
        """Itself; for another number of steps than its weights were made for, its schedule is carried over with them.

        That is so where the predictor `carries_over`.

        Args:
            sigmas: The run's grid, the final 0 included; empty where it is not known.

        Raises:
            ConfigError: The schedule cannot serve the run that the weights were made for.
        """
        made = self.predictor.trained_for
        if made is None or not self.predictor.carries_over or len(sigmas) in (0, len(made.sigmas)):
            return self
        return carried(self, made.sigmas)

    def computed(self, sigmas: Sequence[float]) -> tuple[int, ...]:
        """The steps that a run over a grid computes, rising; where data decide, those that they may decide about too.

        Args:
            sigmas: The grid, the final 0 included.

        Raises:
            ConfigError: The schedule cannot serve the run.
        """
        return tuple(ctx.index for ctx, reason in plan(self, sigmas) if reason is not Reason.PREDICTED)

    def nfe(self, sigmas: Sequence[float], begin: int = 0) -> int | None:
        """How many steps a run over a grid computes; None where that depends on data.

        Args:
            sigmas: The grid, the final 0 included.
            begin: The step that the run begins with.

        Raises:
            ConfigError: The schedule cannot serve the run.
        """
        reasons = [reason for _, reason in plan(self, sigmas, begin=begin)]
        return None if Reason.DATA in reasons else sum(reason is not Reason.PREDICTED for reason in reasons)

    @property
    def reads_latents(self) -> bool:
        """Whether the latent of the newest computed step has to be kept."""
        return self.schedule.dynamic or self.predictor.reads_latents or self.predictor.looks_ahead


def carried(strategy: Strategy, sigmas: Sequence[float]) -> Strategy:
    """The same computed noise levels on any grid; as it is where data decide.

    Args:
        strategy: Its schedule counts steps.
        sigmas: The grid on which it counts them, the final 0 included.
    """
    if strategy.schedule.dynamic:
        return strategy
    return replace(strategy, schedule=NoiseLevels([sigmas[step] for step in strategy.computed(sigmas)]))


def due(strategy: Strategy, ctx: StepContext, agree: Agree = alone, last: int = -1) -> Reason:
    """The rules' answer for a step: predicted, or computed because of the schedule or the history.

    Args:
        strategy: Schedule, router and predictor.
        ctx: The step.
        agree: Asked where data decide.
        last: The step of the branch's last call; -1 where there was none, or where it was at the step before.
    """
    compute = strategy.schedule.decide(ctx) is Decision.COMPUTE
    if strategy.schedule.dynamic:
        compute = agree(compute)
    if compute:
        return Reason.SCHEDULE
    if _is_short(strategy, ctx):
        return Reason.HISTORY
    return Reason.MISSED if _has_missed(strategy, ctx, last) else Reason.PREDICTED


def others_of(branch: str, entries: Mapping[str, tuple[EntryInfo, ...]]) -> dict[str, tuple[EntryInfo, ...]]:
    """What a step of a branch is told of the others: those that have features."""
    return {name: held for name, held in entries.items() if name != branch and held}


def plan(
    strategy: Strategy, sigmas: Sequence[float], branches: Sequence[str] = ("branch0",), begin: int = 0
) -> list[tuple[StepContext, Reason]]:
    """The plan of a run over a grid, without a model.

    Args:
        strategy: Schedule, router and predictor.
        sigmas: The grid, the final 0 included.
        branches: The branches in the order in which the pipeline calls them at each step.
        begin: The step that the run begins with.

    Returns:
        One pair for each step and branch. A dynamic schedule is not asked: its steps are computed while the history
        is too short, and depend on data from then on.
    """
    grid = tuple(sigmas)
    strategy.schedule.check(len(grid) - 1)
    entries: dict[str, tuple[EntryInfo, ...]] = dict.fromkeys(branches, ())
    is_open = dict.fromkeys(branches, False)  # whether data have decided about a step of the branch
    steps = []
    for index in range(begin, len(grid) - 1):
        for number, branch in enumerate(branches):
            others = others_of(branch, entries)
            stage = strategy.router.stage(grid[index])
            ctx = StepContext(index, grid, branch, number, stage, entries[branch], others)
            if not strategy.schedule.dynamic:
                reason = due(strategy, ctx)
            elif is_open[branch] or not _is_short(strategy, ctx):
                reason, is_open[branch], entries[branch] = Reason.DATA, True, ()
            else:
                reason = Reason.HISTORY
            steps.append((ctx, reason))
            computed = reason is not Reason.PREDICTED
            if reason is not Reason.DATA and (computed or strategy.predictor.records == "all"):
                entries[branch] = (EntryInfo(index, computed), *entries[branch])[: strategy.predictor.depth]
    return steps


def _is_short(strategy: Strategy, ctx: StepContext) -> bool:
    return len(ctx.entries) < strategy.predictor.min_history(ctx.stage)


def _has_missed(strategy: Strategy, ctx: StepContext, last: int) -> bool:
    """Whether the branch was not called at a computed step, so that its features are older than the schedule means.

    Never where data decide: a gate is asked about the very step that follows the pause.
    """
    if last < 0 or strategy.schedule.dynamic:
        return False
    missed = (
        replace(ctx, index=index, stage=strategy.router.stage(ctx.sigmas[index]), latent=None)
        for index in range(last + 1, ctx.index)
    )
    return any(strategy.schedule.decide(step) is Decision.COMPUTE for step in missed)


class NeverAsked(Predictor):
    """Takes the predictor's place in runs that compute every step."""

    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:  # noqa: ARG002 - the contract's signature
        """Fail: it was asked."""
        raise AssertionError("a run that computes every step predicted one")
