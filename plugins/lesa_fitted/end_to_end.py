"""Refinement of the filters by gradient, through the model's computed steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lesa_fitted.greedy import Rows
from lesa_fitted.settings import FittedTrainingConfig
from lesa_framework import Batch, Filter, FitTask, HistoryView, Predictor, StepContext, Tuning
from lesa_framework.training import closeness_db, drift_db

#: Iterations between two looks at the batches that no fit sees.
LOOK_EVERY = 10
#: What a state of the refinement has.
REFINEMENT_STATE = frozenset({"iteration", "moved", "moments", "best"})
#: Learning rates of shift, gain and ahead, as multiples of the weights': shift and gain matter by thousandths, ahead by
#: tenths.
_RATES = (0.2, 0.2, 2.0)
#: Iterations in which the learning rate rises.
_WARM_UP = 5


class TrainableRows(Predictor):
    """Filters whose weights carry gradients: those of the rows, moved along directions in which predictions change.

    Args:
        rows: The weights to begin with; they are changed by `keep` alone, and split by branches.
        tunes: Whether how computed steps are asked is trained too, beginning with what the sampler asks.
    """

    records: Literal["all", "computed"] = "computed"

    def __init__(self, rows: Rows, *, tunes: bool) -> None:
        rows.split()
        self._rows = rows
        self.depth = rows.shape.depth
        self._keys = sorted(rows.weights)
        self._start = [rows.weights[key].float() for key in self._keys]
        self._directions = [rows.equations[key].directions().float() for key in self._keys]
        self._moved = [nn.Parameter(torch.zeros_like(start)) for start in self._start]
        self.looks_ahead = tunes
        size = rows.shape.tuning_size
        self._tuning = [nn.Parameter(torch.zeros(size[:-1], device="cpu")) for _ in range(size[-1])] if tunes else []

    @property
    def parameters(self) -> list[nn.Parameter]:
        """How far weights are moved along each direction, and what tunes computed steps."""
        return [*self._moved, *self._tuning]

    def rated(self) -> list[dict[str, Any]]:
        """The same with their parts of the learning rate."""
        tuning = [{"params": [each], "rate": rate} for each, rate in zip(self._tuning, _RATES, strict=False)]
        return [{"params": self._moved, "rate": 1.0}, *tuning]

    def _weights(self, number: int) -> Tensor:
        return self._start[number] + self._directions[number] @ self._moved[number]

    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:
        """Apply the step's filter, differentiably."""
        shape = self._rows.shape
        key = self._rows.key(ctx.index, shape.branches.index(ctx.branch))
        weights = self._weights(self._keys.index(key)).view(shape.sources, -1, 1)
        if shape.reads == "own":
            return history.apply(Filter(weights[0]))
        found = dict(zip(shape.branches, weights, strict=True))
        return history.apply(Filter(found.pop(ctx.branch), others=found))

    def tuning(self, ctx: StepContext) -> Tuning | None:
        """How a computed step is asked, with gradients."""
        if not self._tuning:
            return None
        place = ctx.index, self._rows.shape.branches.index(ctx.branch)
        shift, gain, ahead = (each[place] for each in self._tuning)
        return Tuning(shift, 1 + gain, ahead)

    def set(self, values: Sequence[Tensor]) -> None:
        """Take other parameters."""
        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)

    def values(self) -> list[Tensor]:
        """A copy of the parameters."""
        return [parameter.detach().clone() for parameter in self.parameters]

    def keep(self) -> None:
        """Write the weights into the rows."""
        for number, key in enumerate(self._keys):
            self._rows.weights[key] = self._weights(number).detach().double()
        if self._tuning:
            self._rows.tuning = torch.stack([each.detach().double() for each in self._tuning], -1)


class EndToEnd:
    """Adam on `10 log10` of the final latent's squared distance from the uncached run's.

    Args:
        task: Runs of the sampler.
        rows: What is refined.
        batches: To fit on, each with the T + 1 latents of its uncached run.
        held_out: To look at, in the same form; the weights that do best on them are kept. May be empty.
        settings: How many steps of the optimiser, one batch each, at which learning rate; and what is refined.
    """

    def __init__(
        self,
        task: FitTask,
        rows: Rows,
        batches: Sequence[tuple[Batch, list[Tensor]]],
        held_out: Sequence[tuple[Batch, list[Tensor]]],
        settings: FittedTrainingConfig,
    ) -> None:
        self._task, self._batches, self._held_out = task, batches, held_out
        self._iterations, self._lr = settings.iterations, settings.lr
        self.trainable = TrainableRows(rows, tunes=settings.tune_computed)
        self._optimiser = torch.optim.Adam(self.trainable.rated(), lr=settings.lr, betas=(0.9, 0.95))
        self.iteration = 0
        self.best: tuple[float, list[Tensor]] | None = None

    def run(self) -> Iterator[tuple[float | None, float | None]]:
        """Do what remains.

        Yields:
            Before the first iteration and after each one, its loss and the held-out closeness in dB. The loss is None
            where its gradient was not finite, so that nothing was learned; the closeness where it was not measured.
        """
        if self.iteration == 0 and self._held_out:
            yield None, self._score_held_out()
        while self.iteration < self._iterations:
            loss = self._step(*self._batches[self.iteration % len(self._batches)])
            self.iteration += 1
            last = self.iteration == self._iterations
            yield loss, self._score_held_out() if last or self.iteration % LOOK_EVERY == 0 else None
        if self.best is not None:
            self.trainable.set(self.best[1])
        self.trainable.keep()

    def _step(self, batch: Batch, reference: list[Tensor]) -> float | None:
        for group in self._optimiser.param_groups:
            group["lr"] = self._lr * self._factor() * group["rate"]
        with torch.enable_grad():
            latents = self._task.rollout(batch, self.trainable, gradients=True, through_model=True, checkpointing=True)
            loss = -closeness_db(latents[-1], reference[-1]).mean()
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._task.world.sum_gradients(self.trainable.parameters, batch.share)
        # The gradients are the same in all processes: all of them step, or none does.
        gradients = [each.grad for each in self.trainable.parameters if each.grad is not None]
        is_finite = all(bool(each.isfinite().all()) for each in gradients)
        if is_finite:
            self._optimiser.step()
        found = self._task.world.mean(float(loss.detach()), batch.share)
        return found if is_finite else None

    def _factor(self) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * self.iteration / self._iterations))
        return min(1.0, (self.iteration + 1) / _WARM_UP) * cosine

    @torch.no_grad()
    def _score_held_out(self) -> float | None:
        if not self._held_out:
            return None
        found = [
            self._task.world.mean(drift_db(self._task.rollout(batch, self.trainable), latents), batch.share)
            for batch, latents in self._held_out
        ]
        decibels = sum(found) / len(found)
        if self.best is None or decibels > self.best[0]:
            self.best = decibels, self.trainable.values()
        return decibels

    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs."""
        moments = [self._optimiser.state.get(parameter, {}) for parameter in self.trainable.parameters]
        return {
            "iteration": self.iteration,
            "moved": self.trainable.values(),
            "moments": [{name: value.clone() for name, value in each.items()} for each in moments],
            "best": None if self.best is None else [self.best[0], list(self.best[1])],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume."""
        self.trainable.set(state["moved"])
        for parameter, moments in zip(self.trainable.parameters, state["moments"], strict=True):
            self._optimiser.state[parameter] = dict(moments)
        self.iteration = int(state["iteration"])
        best = state["best"]
        self.best = None if best is None else (float(best[0]), list(best[1]))
