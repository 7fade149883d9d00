"""Predicted steps along an uncached run, with the true features as history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from lesa_framework.branch_names import split_name
from lesa_framework.interfaces.fit import FitTask
from lesa_framework.interfaces.observer import Observer
from lesa_framework.interfaces.predictor import Predictor
from lesa_framework.report import RunReport
from lesa_framework.runtime.path import Path
from lesa_framework.runtime.strategy import Strategy, due, others_of
from lesa_framework.training.graph_history import GraphHistory
from lesa_framework.types import EntryInfo, HistoryView, Reason, RunInfo, StepContext, StepRecord

#: Called at a step that the schedule predicts, with the history before it, the step, and the uncached run's feature.
Visit: TypeAlias = Callable[[HistoryView, StepContext, Tensor], None]


class TrueHistory(Observer):
    """Observes an uncached run, and reports every step that the task's schedule would predict.

    The history holds the uncached run's own features, as many as the predictor keeps, and none of calls whose step is
    unknown, as in a run. They are freed when the run ends; nothing is written to disk.

    Args:
        task: Its schedule and router say which steps are predicted.
        predictor: Its `depth`, `records` and `min_history` say what a history holds.
        visit: Called at each step that would be predicted.
    """

    def __init__(self, task: FitTask, predictor: Predictor, visit: Visit) -> None:
        self._strategy = Strategy(task.schedule, task.router, predictor, check_finite=False)
        self._visit, self._place = visit, task.history
        self._sigmas: tuple[float, ...] = ()
        self._branches: dict[str, GraphHistory] = {}
        self._latents: dict[str, Tensor] = {}  # of the newest computed step of each branch
        self._paths: defaultdict[str, Path] = defaultdict(Path)
        self._shapes: dict[str, torch.Size] = {}  # of the newest latent of each branch
        self._last: dict[str, int] = {}  # the newest step of each branch

    def lesa_run_start(self, run: RunInfo) -> None:
        """Forget the previous run, which may have failed."""
        self._forget()
        self._sigmas = run.sigmas

    def lesa_run_end(self, report: RunReport) -> None:  # noqa: ARG002 - the contract's signature
        """Free the features."""
        self._forget()

    def _forget(self) -> None:
        self._branches.clear()  # histories hold it: a cycle would keep their memory
        self._latents.clear()
        self._paths.clear()
        self._shapes.clear()
        self._last.clear()

    def _begin(self, branch: str) -> None:
        """Give a branch an empty history."""
        self._branches[branch] = GraphHistory(self._strategy.predictor.depth, self._place, self._branches)
        self._latents.pop(branch, None)
        self._paths.pop(branch, None)

    def lesa_step_end(self, record: StepRecord, latent: Tensor, feature: Tensor) -> None:
        """Report the step if it would be predicted, and remember its feature."""
        predictor = self._strategy.predictor
        branch = record.branch
        if branch not in self._branches:
            self._begin(branch)
        if record.index < 0:
            return  # of no step, so that a run would compute it and not keep its feature
        changed = self._shapes.get(branch, latent.shape) != latent.shape
        if changed:  # older features do not mix with this one
            self._begin(branch)
        history, self._shapes[branch] = self._branches[branch], latent.shape
        ctx = StepContext(
            index=record.index,
            sigmas=self._sigmas,
            branch=branch,
            branch_index=self._number(branch),
            stage=self._strategy.router.stage(self._sigmas[record.index]),
            entries=history.entries,
            others=others_of(branch, {name: held.entries for name, held in self._branches.items()}),
            latent=latent,
            computed_latent=self._latents.get(branch),
            path=self._paths[branch].latents,
        )
        last, self._last[branch] = self._last.get(branch, -1), record.index
        computed = changed or due(self._strategy, ctx, last=last) is not Reason.PREDICTED
        if not computed:
            self._visit(history, ctx, feature)
        elif self._strategy.reads_latents:
            self._latents[branch] = latent.detach().clone()
        if self._strategy.schedule.reads_path:
            self._paths[branch].add(record.index, latent, computed=computed)
        if computed or predictor.records == "all":
            history.append(feature.detach().clone(), EntryInfo(record.index, computed))

    def _number(self, branch: str) -> int:
        """A branch's number among those of its transformer."""
        _, transformer = split_name(branch)
        return [each for each in self._branches if split_name(each)[1] == transformer].index(branch)
