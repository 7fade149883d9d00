"""The loop that joins schedule, router, predictor and histories, one call of the model at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from lesa_framework.errors import ConfigError, PluginContractError
from lesa_framework.interfaces.observer import Observer
from lesa_framework.interfaces.predictor import Predictor
from lesa_framework.interfaces.router import StageRouter
from lesa_framework.interfaces.schedule import SchedulePolicy
from lesa_framework.runtime.history import History
from lesa_framework.runtime.tracking import Position
from lesa_framework.types import (
    Decision,
    EntryInfo,
    HistoryView,
    Reason,
    RunInfo,
    RunReport,
    StepContext,
    StepRecord,
    Tap,
)


class Store(HistoryView, Protocol):
    """A history that the engine can write to."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""

    def append(self, feature: Tensor, info: EntryInfo) -> None:
        """Take in a feature."""


@dataclass
class Strategy:
    """What a configuration builds: the choices that the engine joins.

    Raises:
        ConfigError: The router's stages are not the predictor's.
        PluginContractError: The predictor asks for more history than it keeps.
    """

    schedule: SchedulePolicy
    router: StageRouter
    predictor: Predictor
    check_finite: bool = True

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


@dataclass
class _Branch:
    history: Store
    latent_shape: torch.Size | None = None


@dataclass(frozen=True)
class Step:
    """One call in progress.

    Attributes:
        ctx: What is known about it; None when its step is unknown.
        record: What will be reported.
        latent: The model's input.
        prediction: The feature to use instead of the block stack's; None when the stack is to run.
        branch: The branch's name.
    """

    ctx: StepContext | None
    record: StepRecord
    latent: Tensor
    prediction: Tensor | None
    branch: str


@dataclass
class Engine:
    """Decides, predicts and remembers. It knows no model: features go in and come out.

    Args:
        strategy: Schedule, router and predictor.
        backbone: Kind of the adapter, for reports and for the predictor's check.
        tap: Where the adapter takes features.
        observers: Called at the start and end of runs and after every step.
        new_history: Makes a branch's history; training replaces it.
    """

    strategy: Strategy
    backbone: str
    tap: Tap
    observers: Sequence[Observer] = ()
    new_history: Callable[[int], Store] = History
    _info: RunInfo | None = None
    _branches: dict[str, _Branch] = field(default_factory=dict)
    _records: list[StepRecord] = field(default_factory=list)
    _started: float = 0.0
    _finished: float = 0.0
    _last: RunReport | None = None

    @property
    def report(self) -> RunReport:
        """The run in progress, or the last one."""
        if self._info is None:
            return self._last or RunReport(RunInfo((), self.backbone, self.tap), (), 0, 0.0)
        size = sum(branch.history.nbytes for branch in self._branches.values())
        return RunReport(self._info, tuple(self._records), size, self._finished - self._started)

    def begin(self, position: Position, latent: Tensor) -> Step:
        """Open a call: decide, and predict if that is the decision.

        Raises:
            ConfigError: The schedule cannot serve the run.
            ArtifactError: The predictor was made for another grid, tap or backbone.
        """
        if position.new_run:
            self._open(position.grid.sigmas)
        branch = self._branches.setdefault(position.branch, _Branch(self._make_history()))
        if position.index is None:
            record = StepRecord(-1, position.branch, -1, Decision.COMPUTE, Reason.UNKNOWN_STEP)
            return Step(None, record, latent, None, position.branch)
        reason = None
        if branch.latent_shape not in (None, latent.shape):
            self._branches[position.branch] = branch = _Branch(self._make_history())
            reason = Reason.SHAPE
        branch.latent_shape = latent.shape
        sigmas = position.grid.sigmas
        ctx = StepContext(
            index=position.index,
            sigmas=sigmas,
            branch=position.branch,
            branch_index=position.branch_index,
            stage=self.strategy.router.stage(sigmas[position.index]),
            entries=branch.history.entries,
            latent=latent,
        )
        reason = reason or due(self.strategy, ctx)
        prediction = None
        if reason is Reason.PREDICTED:
            prediction = self._predict(branch.history, ctx)
            if self.strategy.check_finite and not bool(torch.isfinite(prediction.detach()).all()):
                prediction, reason = None, Reason.NON_FINITE
        decision = Decision.COMPUTE if prediction is None else Decision.PREDICT
        return Step(ctx, StepRecord(ctx.index, ctx.branch, ctx.stage, decision, reason), latent, prediction, ctx.branch)

    def end(self, step: Step, feature: Tensor) -> None:
        """Close a call with the feature that was used."""
        self._records.append(step.record)
        if step.ctx is not None:
            computed = step.prediction is None
            if computed or self.strategy.predictor.records == "all":
                self._branches[step.branch].history.append(feature, EntryInfo(step.ctx.index, computed))
        self._finished = time.perf_counter()
        for observer in self.observers:
            observer.lesa_step_end(record=step.record, latent=step.latent, feature=feature)

    def close(self) -> None:
        """End the run, if one is open, and free its histories; the report stays."""
        if self._info is None:
            return
        self._last = report = self.report
        # Before the observers: one that fails must not keep the run open.
        self._info, self._branches, self._records = None, {}, []
        for observer in self.observers:
            observer.lesa_run_end(report=report)

    def _open(self, sigmas: tuple[float, ...]) -> None:
        self.close()
        info = RunInfo(sigmas, self.backbone, self.tap)
        self.strategy.schedule.check(len(sigmas) - 1)
        self.strategy.predictor.check(info)
        self._info = info
        self._started = self._finished = time.perf_counter()
        for observer in self.observers:
            observer.lesa_run_start(run=info)

    def _make_history(self) -> Store:
        return self.new_history(self.strategy.predictor.depth)

    def _predict(self, history: Store, ctx: StepContext) -> Tensor:
        prediction = self.strategy.predictor.predict(history, ctx)
        newest = history.feature(0)
        if prediction.shape != newest.shape or prediction.dtype != newest.dtype:
            raise PluginContractError(
                f"{type(self.strategy.predictor).__name__}.predict returned {tuple(prediction.shape)} "
                f"{prediction.dtype}; it must keep the features' {tuple(newest.shape)} {newest.dtype}."
            )
        # A view of the ring must not enter a graph: the ring is written over before the graph is walked back.
        return prediction.clone() if torch.is_grad_enabled() else prediction


def due(strategy: Strategy, ctx: StepContext) -> Reason:
    """What the rules say about a step: predicted, or computed because of the schedule or the history."""
    if strategy.schedule.decide(ctx) is Decision.COMPUTE:
        return Reason.SCHEDULE
    if len(ctx.entries) < strategy.predictor.min_history(ctx.stage):
        return Reason.HISTORY
    return Reason.PREDICTED


def plan(strategy: Strategy, sigmas: Sequence[float]) -> list[tuple[StepContext, Reason]]:
    """What a run over a grid will do, without a model."""
    grid = tuple(sigmas)
    strategy.schedule.check(len(grid) - 1)
    entries: tuple[EntryInfo, ...] = ()
    steps = []
    for index in range(len(grid) - 1):
        ctx = StepContext(index, grid, stage=strategy.router.stage(grid[index]), entries=entries)
        reason = due(strategy, ctx)
        steps.append((ctx, reason))
        computed = reason is not Reason.PREDICTED
        if computed or strategy.predictor.records == "all":
            entries = (EntryInfo(index, computed), *entries)[: strategy.predictor.depth]
    return steps
