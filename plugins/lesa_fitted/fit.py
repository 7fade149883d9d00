"""The fits of `fitted`, from the task to a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from lesa_fitted.end_to_end import LOOK_EVERY, REFINEMENT_STATE, EndToEnd
from lesa_fitted.first_run import Unfitted, deepest, first_run
from lesa_fitted.fitted import Fitted
from lesa_fitted.greedy import GreedyPredictor, Rows
from lesa_fitted.settings import FittedTrainingConfig
from lesa_fitted.table import NUMBERS, TUNING, TableShape, features_for
from lesa_framework import (
    ConfigError,
    Fit,
    FitSize,
    FitTask,
    HistoryView,
    LesaError,
    Predictor,
    Progress,
    Recorder,
    StepContext,
    Tap,
    is_out_of_memory,
)
from lesa_framework.training import NoGradientsError, TrueHistory, drift_db

#: How far latents may be from where the predictions lead, relative to the way, before another target is tried as well.
_LARGE_MISS = 0.5
_GREEDY, _END_TO_END, _TRUE_HISTORY, _GREEDY_ONLY = "greedy", "end to end", "true history", "greedy only"


class FittedFit(Fit):
    """Ridge regression in closed loop, and from there, if wanted, by gradient.

    No batch's features are kept after its runs: of each, the latents of its uncached run are, on the CPU.

    Args:
        task: Prompts, schedule and runs of the sampler.
        settings: Which fit, and how.
        depth: Features of each branch that a filter reads.
        reads: Of which branches.
        records: What histories hold.

    Raises:
        ConfigError: The settings contradict each other, or the schedule decides by looking at data.
    """

    def __init__(
        self,
        task: FitTask,
        settings: FittedTrainingConfig,
        *,
        depth: int,
        reads: Literal["own", "all"],
        records: Literal["all", "computed"],
    ) -> None:
        if records == "all" and settings.fit != "true_history":
            raise ConfigError(
                f"predictor.records: 'all' has predictions in its history, which training.fit '{settings.fit}' does "
                "not fit. Use records 'computed', or training.fit 'true_history'."
            )
        if records == "all" and reads == "all":
            raise ConfigError(
                "predictor.reads: 'all' with records 'all' would let a branch read what another one has predicted at "
                "the same step. Use reads 'own', or records 'computed'."
            )
        if task.schedule.dynamic:
            raise ConfigError(
                "schedule: 'fitted' has a filter for each step, so the steps have to be known before a run. Use a "
                "schedule that does not look at data, such as `steps` or `even`."
            )
        self._task, self._settings = task, settings
        self._depth, self._reads, self._records = depth, reads, records
        self.predictor: Predictor = Unfitted(depth, records)
        self.log: list[dict[str, Any]] = []
        self._rows: Rows | None = None
        self._latents: list[list[Tensor]] = []
        self._resumed: Mapping[str, Any] | None = None
        self._refinement: EndToEnd | None = None
        self._drift_db: float | None = None
        batches = [batch.part(task.world) for batch in task.batches]
        count = len(batches)
        holds_out = settings.fit == "end_to_end" and settings.held_out > 0
        held_out = min(count - 1, max(1, round(settings.held_out * count))) if holds_out else 0
        self._fitted_on, self._held_out = batches[: count - held_out], batches[count - held_out :]

    @property
    def drift_db(self) -> float | None:
        """Of the batches that no fit saw; of the greedy fit, of its last pass; None when it was not measured."""
        return self._drift_db

    @property
    def total(self) -> int:
        """Parts of the fit."""
        settings, count = self._settings, len(self._fitted_on)
        passes = settings.passes if settings.fit != "true_history" else 1
        return count * passes + (settings.iterations if settings.fit == "end_to_end" else 0)

    def run(self) -> Iterator[Progress]:
        """Fit; yields after each batch and iteration."""
        shape, alike = first_run(self._task, self._depth, self._reads, self._records)
        if self._settings.fit == "true_history":
            self._rows = self._new_rows(shape, "feature")
            yield from self._fit_true_history(self._rows)
        else:
            self._rows, first = self._choose(shape, alike=alike)
            yield from self._fit_greedily(self._rows, first)
            if self._settings.fit == "end_to_end":
                yield from self._refine(self._rows)
        self.predictor = self._fitted()

    def tensors(self) -> dict[str, Tensor]:
        """The table."""
        tuning = self._found.tuning
        return {"weights": self._found.table()} | ({} if tuning is None else {TUNING: tuning})

    def size(self, branches: int) -> FitSize:
        """A number for each step, branch and feature that is read, and three for tuning; a refinement saves more."""
        read = branches if self._reads == "all" else 1
        refined, greedy = self._settings.fit == "end_to_end", self._settings.fit != "true_history"
        tuned = NUMBERS * (refined and self._settings.tune_computed)
        numbers = read * deepest(self._task, self._depth, self._records) + tuned
        table = 8 * (len(self._task.sigmas) - 1) * branches * numbers
        batches = (*self._fitted_on, *self._held_out) if greedy else ()
        return FitSize(self.total, table, 2 * table * refined, sum(len(batch.prompts) for batch in batches))

    def settings(self) -> dict[str, Any]:
        """The table's shape."""
        return self._found.shape.as_json()

    def state_dict(self) -> dict[str, Any]:
        """That of the refinement: the greedy fit is quickly done again, and the same every time."""
        return {} if self._refinement is None else {"refinement": self._refinement.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume the refinement."""
        self._resumed = state.get("refinement")
        missing = REFINEMENT_STATE - set(self._resumed or REFINEMENT_STATE)
        if missing:
            raise KeyError(f"the refinement's {', '.join(sorted(missing))}")

    # ------------------------------------------------------------------------------------------------- parts

    @property
    def _found(self) -> Rows:
        if self._rows is None:
            raise ConfigError("training: nothing was fitted yet.")
        return self._rows

    def _fitted(self) -> Predictor:
        return Fitted(self._found.shape, self._found.table(), self._task.sigmas, self._found.tuning)

    def _targets(self, shape: TableShape, *, alike: bool) -> list[Literal["trajectory", "feature"]]:
        """What the filters may aim at, the likeliest first; for `alike` see `first_run`."""
        possible = self._task.tap is Tap.OUTPUT or shape.reads == "own"
        wanted, falling = self._settings.target, all(a > b for a, b in pairwise(self._task.sigmas))
        if wanted == "trajectory" and not possible:
            raise ConfigError(
                "training.target: 'trajectory' with predictor.reads 'all' needs the tap 'output', where features are "
                "velocities. Use reads 'own', backbone.tap 'output' or target 'feature'."
            )
        if wanted == "trajectory" and not falling:
            raise ConfigError(
                "training.target: 'trajectory' needs noise levels that fall from step to step; this sampler has some "
                "of them twice. Use target 'feature'."
            )
        if wanted == "trajectory" and not alike:
            raise ConfigError(
                "training.target: 'trajectory' needs final latents, and with predictor.reads 'all' the model's output, "
                "in the shape of the model's input. Here one of them holds more than the sample, such as a picture to "
                "edit or a variance, or is laid out in another way. Use target 'feature'."
            )
        if wanted != "auto":
            return [wanted]
        return ["trajectory", "feature"] if possible and falling and alike else ["feature"]

    def _choose(self, shape: TableShape, *, alike: bool) -> tuple[Rows, float | None]:
        """Rows for the trajectory if the first batch comes where its predictions lead, else for what is closer there.

        The latent moves by the prediction times the change of the noise level when the sampler makes Euler steps; those
        of higher order do not.

        Returns:
            The rows, and how close they came in dB if finding them was the whole first pass, else None.
        """
        targets = self._targets(shape, alike=alike)
        found: dict[Literal["trajectory", "feature"], float] = {}
        tried: dict[Literal["trajectory", "feature"], Rows] = {}
        for target in targets if len(targets) > 1 else ():
            rows = tried[target] = self._new_rows(shape, target)
            predictor = self._greedy(rows, 0, learning=True)
            found[target] = self._roll_out(predictor, 0)
            if predictor.miss <= _LARGE_MISS:
                break
        if found:
            self.log.append({"stage": "target", "drift_db": dict(found)})
        best = max(targets, key=lambda target: found.get(target, -math.inf))
        if best in tried and len(self._fitted_on) == 1:
            return tried[best], found[best]  # a search fits hundreds of candidates like this
        return self._new_rows(shape, best), None

    def _new_rows(self, shape: TableShape, target: Literal["trajectory", "feature"]) -> Rows:
        return Rows(shape, target, self._settings.ridge, self._task.world)

    def _fit_true_history(self, rows: Rows) -> Iterator[Progress]:
        counted = slice(None)

        def visit(history: HistoryView, ctx: StepContext, feature: Tensor) -> None:
            key = rows.key(ctx.index, rows.shape.branches.index(ctx.branch))
            rows.learn(key, [held[counted] for held in features_for(rows.shape, history, ctx)], feature[counted])

        for done, batch in enumerate(self._fitted_on, start=1):
            counted = slice(None if batch.share else 0)
            self._task.uncached(batch, TrueHistory(self._task, self.predictor, visit))
            yield Progress(_TRUE_HISTORY, done, self.total)
        rows.solve(list(rows.equations))

    def _fit_greedily(self, rows: Rows, first: float | None) -> Iterator[Progress]:
        count = len(self._fitted_on)
        for number in range(self._settings.passes):
            known = first if number == 0 else None
            if known is None:
                rows.forget()
            found = []
            for batch in range(count):
                if known is None:
                    found.append(self._roll_out(self._greedy(rows, batch, learning=number == 0), batch))
                else:
                    found.append(known)
                self.log.append({"stage": _GREEDY, "pass": number, "drift_db": found[-1]})
                yield Progress(_GREEDY, number * count + batch + 1, self.total, number, drift_db=found[-1])
            rows.solve(list(rows.equations))
            self._drift_db = sum(found) / count

    def _greedy(self, rows: Rows, number: int, *, learning: bool) -> GreedyPredictor:
        """A fitting predictor for a batch; runs the uncached model for what is not known of it."""
        recorder, batch = Recorder(), self._fitted_on[number]
        known, observed = number < len(self._latents), rows.target == "feature"
        if not known or observed:
            latents = self._task.uncached(batch, *([recorder] if observed else []))
            if not known:
                self._latents.append([latent.cpu() for latent in latents])
        features = recorder.by_step if observed else {}
        recorder.features = []  # a session is a cycle, which Python collects late
        counts = batch.share > 0
        return GreedyPredictor(rows, self._latents[number], features, learning=learning, counts=counts)

    def _roll_out(self, predictor: GreedyPredictor, number: int) -> float:
        batch = self._fitted_on[number]
        with torch.no_grad():
            decibels = drift_db(self._task.rollout(batch, predictor), self._latents[number])
        predictor.forget()
        return self._task.world.mean(decibels, batch.share)

    def _refine(self, rows: Rows) -> Iterator[Progress]:
        before = len(self._fitted_on) * self._settings.passes
        held_out = [(batch, [latent.cpu() for latent in self._task.uncached(batch)]) for batch in self._held_out]
        pairs = list(zip(self._fitted_on, self._latents, strict=True))
        self._refinement = EndToEnd(self._task, rows, pairs, held_out, self._settings)
        if self._resumed is not None:
            self._refinement.load_state_dict(self._resumed)
        saved = self._resumed is not None
        try:
            for loss, decibels in self._refinement.run():
                done = self._refinement.iteration
                self.log.append({"stage": _END_TO_END, "iteration": done, "loss": loss, "drift_db": decibels})
                save = done > 0 and done % LOOK_EVERY == 0
                yield Progress(_END_TO_END, before + done, self.total, 0, loss, decibels, save, held_out=True)
                saved = saved or save
        except (NoGradientsError, RuntimeError) as error:
            full = is_out_of_memory(error)
            if not (full or isinstance(error, NoGradientsError)):
                raise
            if full and (self._refinement.iteration or self._task.world.size > 1):
                advice = " With the same settings, it resumes from the last checkpoint." if saved else ""
                raise LesaError(
                    "training: out of memory in the refinement. Use a smaller training.batch, or training.fit "
                    f"'greedy'.{advice}"
                ) from error
            # The greedy fit is whole, and its filters are what there is.
            self.log.append({"stage": _GREEDY_ONLY, "reason": str(error)[:200]})
            without = f"no gradients through this model ({type(error).__name__})"
            yield Progress(f"{_GREEDY_ONLY}: {'out of memory' if full else without}", before, before)
            return
        self._drift_db = None if self._refinement.best is None else self._refinement.best[0]
