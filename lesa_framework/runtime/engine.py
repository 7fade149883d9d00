"""The loop that joins schedule, router, predictor and histories, one call of the model at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lesa_framework.devices import peak_memory
from lesa_framework.interfaces.observer import Observer
from lesa_framework.model_info import ModelInfo
from lesa_framework.report import CallReport, RunReport
from lesa_framework.runtime.asking import Asking, asking, tuning_of
from lesa_framework.runtime.branch import BranchState
from lesa_framework.runtime.calls.levels import NO_GRID, Grid
from lesa_framework.runtime.calls.tracking import Position
from lesa_framework.runtime.features.ahead import reads_next
from lesa_framework.runtime.features.finite import Finite
from lesa_framework.runtime.features.history import History
from lesa_framework.runtime.predicting import correct, predict
from lesa_framework.runtime.stopwatch import Stopwatch
from lesa_framework.runtime.store import NewHistory
from lesa_framework.runtime.strategy import Agree, Strategy, StrategySource, alone, due, others_of
from lesa_framework.types import (
    Decision,
    EntryInfo,
    HistoryView,
    Reason,
    RunInfo,
    StepContext,
    StepRecord,
    Tap,
)


@dataclass(eq=False)
class Step:
    """One call in progress.

    Attributes:
        ctx: What is known about it; None when its step is unknown.
        record: What will be reported.
        latent: The model's input.
        prediction: The feature to use in place of the block stack's; None when the stack is to run.
        branch: The branch's name.
    """

    ctx: StepContext | None
    record: StepRecord
    latent: Tensor
    prediction: Tensor | None
    branch: str


@dataclass
class Engine:
    """Decides, predicts and remembers. It knows nothing of models: features go in and come out.

    Args:
        source: Schedule, router and predictor; a source of them is asked when a run begins.
        backbone: Kind of the adapter, for reports and for the predictor's check.
        tap: Where the adapter takes features.
        observers: Called at the start and end of runs and after every step.
        new_history: Makes a branch's history; training replaces it.
        agree: Every decision that depends on data passes through it: those of a dynamic schedule, and of the strict
            finite check.
        models: Looks at the transformers; asked when a run begins, because their weights may have been exchanged.
        covers_call: The engine serves one call of a pipeline, and its report covers all runs of it.
    """

    source: StrategySource
    backbone: str
    tap: Tap
    observers: Sequence[Observer] = ()
    new_history: NewHistory = History
    agree: Agree = alone
    models: Callable[[], tuple[ModelInfo, ...]] = tuple
    covers_call: bool = False
    _strategy: Strategy | None = None  # of the run in progress
    _info: RunInfo | None = None
    _grid: Grid = NO_GRID
    _branches: dict[str, BranchState] = field(default_factory=dict)
    _histories: dict[str, HistoryView] = field(default_factory=dict)  # as histories see each other
    _records: list[StepRecord] = field(default_factory=list)
    _started: float = 0.0
    _finished: float = 0.0
    _ended: list[RunReport] = field(default_factory=list)  # those that the report still covers
    _unannounced: RunReport | None = None
    _watch: Stopwatch = field(default_factory=Stopwatch)
    _device: torch.device = field(default_factory=lambda: torch.device("cpu"))  # of the newest latent
    _finite: Finite = field(default_factory=Finite)

    @property
    def strategy(self) -> Strategy:
        """That of the run in progress."""
        assert self._strategy is not None  # a run is open
        return self._strategy

    @property
    def report(self) -> CallReport:
        """The run in progress or the last one; of a call that makes several runs, all."""
        info = self._info  # read once: another thread may end the run
        running = [] if info is None else [self._report(info)]
        nothing = RunReport(RunInfo((), self.backbone, self.tap), (), 0, 0.0)
        return CallReport((*self._ended, *running) or (nothing,))

    def begin(self, position: Position, latent: Tensor, guidance: Callable[[], float | None] = lambda: None) -> Step:
        """Open a call: decide, and predict if that is the decision; see `open`."""
        step = self.open(position, latent, guidance)
        self.predict(step)
        return step

    def open(self, position: Position, latent: Tensor, guidance: Callable[[], float | None] = lambda: None) -> Step:
        """Open a call: decide.

        Args:
            position: Where the call belongs.
            latent: The model's input.
            guidance: The guidance that the model is given; asked at the first call of a run.

        Raises:
            ConfigError: The schedule cannot serve the run.
            ArtifactError: The predictor was made for another grid, tap or backbone.
        """
        if position.new_run:
            self._grid, begin = position.grid, position.index or 0
            sigmas, shape = self._grid.sigmas, tuple(latent.shape[1:])
            self._open(RunInfo(sigmas, self.backbone, self.tap, self.models(), shape, guidance(), begin))
        self._device = latent.device
        self._watch.start(self._device)
        name = position.branch
        branch = self._branches.get(name) or self._open_branch(name)
        if position.index is None or position.index <= branch.last:
            why = Reason.UNKNOWN_STEP if position.index is None else Reason.REPEATED_STEP
            return Step(None, StepRecord(-1, name, -1, Decision.COMPUTE, why), latent, None, name)
        reason = None
        if branch.latent_shape not in (None, latent.shape):
            branch, reason = self._open_branch(name), Reason.SHAPE
        last, branch.last, branch.latent_shape = branch.last, position.index, latent.shape
        ctx = self._context(position, position.index, branch, latent)
        reason = reason or due(self.strategy, ctx, self.agree, last)
        if self._finite.doubts(name) and reason is Reason.PREDICTED:
            reason = Reason.NON_FINITE
        decision = Decision.PREDICT if reason is Reason.PREDICTED else Decision.COMPUTE
        return Step(ctx, StepRecord(ctx.index, name, ctx.stage, decision, reason), latent, None, name)

    def predict(self, step: Step) -> None:
        """Predict, if that is the decision; a prediction that is refused makes it a computed step."""
        if step.ctx is None or step.record.decision is not Decision.PREDICT:
            return
        history = self._branches[step.branch].history
        leaves = self.tap is Tap.OUTPUT
        step.prediction = predict(self.strategy.predictor, history, step.ctx, self._finite, leaves=leaves)
        if step.prediction is None:
            self.give_up(step, Reason.NON_FINITE)

    def give_up(self, step: Step, reason: Reason) -> None:
        """Compute a step that was to be predicted."""
        step.prediction = None
        step.record = replace(step.record, decision=Decision.COMPUTE, reason=reason)

    def refresh(self, step: Step) -> None:
        """Let an open step see what other branches did since it was opened."""
        if step.ctx is not None:
            step.ctx = replace(step.ctx, others=self._others(step.ctx.branch))

    def asking(self, step: Step) -> Asking | None:
        """How to ask the model at a step that is computed; None to ask as the sampler does."""
        ctx, predictor = step.ctx, self.strategy.predictor
        before = self._branches[step.branch].computed if predictor.looks_ahead else None
        return None if ctx is None else asking(tuning_of(predictor, ctx), ctx, before, self._grid)

    def computed(self, step: Step, feature: Tensor) -> Tensor:
        """Use a feature that the block stack computed.

        Returns:
            The feature for the head: this very tensor, unless the predictor corrects it.
        """
        if step.ctx is None:
            return feature
        branch = self._branches[step.branch]
        branch.history.append(feature, EntryInfo(step.ctx.index, computed=True))
        if self.strategy.reads_latents:
            branch.computed = step.ctx.index, step.latent.clone()  # a sampler may write to its own
        with branch.history.showing(feature):
            used, refused = correct(self.strategy.predictor, branch.history, step.ctx, feature, self._finite)
        if refused:
            step.record = replace(step.record, reason=Reason.NON_FINITE_CORRECTION)
        return used

    def end(self, step: Step, feature: Tensor) -> None:
        """Close a call with the feature that was used."""
        self.remember(step, feature)
        self.close_step(step, feature)

    def remember(self, step: Step, feature: Tensor) -> None:
        """Let what comes next read the feature that was used."""
        if step.ctx is None:
            return
        ctx, branch, strategy = step.ctx, self._branches[step.branch], self.strategy
        if strategy.schedule.reads_path:
            branch.path.add(ctx.index, step.latent, computed=step.record.decision is Decision.COMPUTE)
        if step.prediction is not None and strategy.predictor.records == "all":
            branch.history.append(feature, EntryInfo(ctx.index, computed=False))
        if strategy.history.device is not None:
            branch.history.expect(reads_next(strategy, ctx, branch.history.entries))

    def close_step(self, step: Step, feature: Tensor) -> None:
        """Record a call, and tell the observers; after the run's last call its histories are freed."""
        self._records.append(step.record)
        self._watch.stop(step.record.decision)
        self._finished = time.perf_counter()
        info, last = self._info, len(self._grid.sigmas) - 2
        # A run of its last step alone has branches to come, which may read those before them.
        if step.record.index == last and info is not None and info.begin < last:
            branches = tuple(self._branches.values())
            if all(branch.last == last for branch in branches):
                for branch in branches:  # decoding comes next, which needs the memory
                    branch.free()
        for observer in self.observers:
            observer.lesa_step_end(record=step.record, latent=step.latent, feature=feature)

    def free(self) -> None:
        """End the run, if one is open, and free its histories; the report stays. Observers are told by `close`."""
        info, self._info = self._info, None
        if info is None:
            return
        report = self._unannounced = self._report(info)
        self._ended = [*self._ended, report] if self.covers_call else [report]
        self._branches, self._records = {}, []
        self._histories.clear()  # they hold it: a cycle would keep their memory

    def close(self) -> None:
        """End the run, if one is open, free its histories and tell the observers."""
        self.free()
        # First taken away: an observer that fails is not called again.
        report, self._unannounced = self._unannounced, None
        if report is not None:
            self._finite.tell()
            for observer in self.observers:
                observer.lesa_run_end(report=report)

    def _report(self, info: RunInfo) -> RunReport:
        size = sum(branch.nbytes for branch in tuple(self._branches.values()))
        seconds, replaced, bad = self._finished - self._started, self._finite.replaced(), self._finite.not_finite()
        places = {*replaced, *bad}
        records = tuple(
            replace(record, replaced=replaced.get(place, 0), not_finite=place in bad) if place in places else record
            for record in tuple(self._records)
            for place in [(record.branch, record.index)]
        )
        peak = peak_memory(self._device)
        return RunReport(info, records, size, seconds, self._watch.saved(), self.strategy.choice, peak)

    def _open(self, info: RunInfo) -> None:
        self.close()
        self._strategy = strategy = self.source.for_run(info)
        self._watch = Stopwatch()
        self._finite = Finite(strategy.check_finite, self.agree, type(strategy.predictor).__name__)
        if info.sigmas:  # without a grid every call is computed
            self.strategy.schedule.check(len(info.sigmas) - 1)
            self.strategy.predictor.check(info)
        self._info = info
        if not self.covers_call:
            self._ended = []
        self._started = self._finished = time.perf_counter()
        for observer in self.observers:
            observer.lesa_run_start(run=info)

    def _open_branch(self, name: str) -> BranchState:
        history = self.new_history(self.strategy.predictor.depth, self.strategy.history, self._histories)
        self._histories[name] = history
        self._branches[name] = branch = BranchState(history)
        return branch

    def _context(self, position: Position, index: int, branch: BranchState, latent: Tensor) -> StepContext:
        sigmas = position.grid.sigmas
        return StepContext(
            index=index,
            sigmas=sigmas,
            branch=position.branch,
            branch_index=position.branch_index,
            stage=self.strategy.router.stage(sigmas[index]),
            entries=branch.history.entries,
            others=self._others(position.branch),
            latent=latent,
            computed_latent=None if branch.computed is None else branch.computed[1].detach(),
            path=branch.path.latents,
        )

    def _others(self, branch: str) -> Mapping[str, tuple[EntryInfo, ...]]:
        """What other branches hold whose features mix with its own."""
        if len(self._branches) == 1:
            return {}
        own, found = self._branches[branch], self._branches.items()
        mixed = {name: each.history.entries for name, each in found if each is own or each.mixes_with(own)}
        return others_of(branch, mixed)
