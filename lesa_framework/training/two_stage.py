"""LESA's two-stage training (arXiv 2602.20497, section 3.3), for any trainable predictor."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lesa_framework.api import attach_strategy
from lesa_framework.config.schema import TrainingConfig
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.observer import Observer
from lesa_framework.interfaces.router import StageRouter
from lesa_framework.interfaces.schedule import Always, SchedulePolicy
from lesa_framework.interfaces.trainable import TrainablePredictor
from lesa_framework.runtime.engine import Strategy
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.training.closed_loop import drift, rollout, trajectory_loss
from lesa_framework.training.guided import GuidedObserver, OnlineLearner
from lesa_framework.training.optimiser import Optimiser
from lesa_framework.training.rollout import Batch, Sampler
from lesa_framework.types import Tap

Stage = Literal["record", "guided", "safe start", "closed loop"]
#: Strengths tried between the stages, from reuse (0) to the whole of what stage 1 learnt (1).
_RESTRAINTS = (1.0, 0.5, 0.25, 0.1, 0.0)


@dataclass(frozen=True)
class Progress:
    """One batch done.

    Attributes:
        stage: What is going on.
        epoch: Passes over the prompts finished in this stage.
        done: Batches done in the whole training.
        total: Batches of the whole training.
        loss: The batch's loss, when it had one.
        drift_db: PSNR-like distance of the final latents from the uncached run's, when it was measured.
    """

    stage: Stage
    epoch: int
    done: int
    total: int
    loss: float | None = None
    drift_db: float | None = None


@dataclass
class _LossMeter:
    """Learns from each loss and remembers their mean."""

    optimiser: Optimiser
    total: float = 0.0
    count: int = 0

    def __call__(self, loss: Tensor) -> None:
        self.optimiser.learn(loss)
        self.total += float(loss.detach())
        self.count += 1

    def mean(self) -> float | None:
        return self.total / self.count if self.count else None


class TwoStageTrainer:
    """Stage 1 learns each predicted step from true features; stage 2 learns while the schedule runs.

    Args:
        sampler: Pipeline and call; its weights are frozen.
        learner: What learns, in place.
        schedule: The schedule to learn for.
        router: Noise level to stage.
        settings: Epochs, rates, target.
        batches: Prompts and seeds.
        sigmas: The sampler's grid, the final 0 included.
        backbone: Kind of the adapter, or a configuration's `backbone` section.
        tap: Where features are taken.
        saved: Called after every epoch, for checkpoints.
    """

    def __init__(
        self,
        sampler: Sampler,
        learner: TrainablePredictor,
        schedule: SchedulePolicy,
        router: StageRouter,
        settings: TrainingConfig,
        batches: Sequence[Batch],
        *,
        sigmas: Sequence[float],
        backbone: str | BackboneConfig,
        tap: Tap,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        self._sampler, self._learner, self._settings = sampler, learner, settings
        self._batches, self._sigmas = batches, sigmas
        self._backbone, self._tap, self._saved = backbone, tap, saved
        self._strategy = Strategy(schedule, router, learner, check_finite=False)
        self._uncached = Strategy(Always(), router, learner, check_finite=False)
        self._references: list[list[Tensor]] = []
        self._optimisers = {
            "guided": self._optimiser(settings.guided_lr, settings.guided_epochs),
            "closed loop": self._optimiser(settings.closed_loop_lr, settings.closed_loop_epochs),
        }
        self.epochs = {"guided": 0, "safe start": 0, "closed loop": 0}
        self.log: list[dict[str, Any]] = []

    def train(self) -> Iterator[Progress]:
        """Do what remains; yields after every batch."""
        settings, count = self._settings, len(self._batches)
        total = count * (max(1, settings.guided_epochs) + settings.closed_loop_epochs)
        self._sampler.freeze()
        # The uncached runs are needed anyway, so stage 1's first epoch learns while they are recorded.
        for number, batch in enumerate(self._batches):
            learn = self.epochs["guided"] == 0 and settings.guided_epochs > 0
            loss = self._guided(batch, number / count, learn=learn, record=True)
            yield Progress("guided" if learn else "record", 0, number + 1, total, loss)
        done = count * max(1, self.epochs["guided"])
        while self.epochs["guided"] < settings.guided_epochs:
            first = self.epochs["guided"] == 0
            for number, batch in enumerate(() if first else self._batches):
                loss = self._guided(batch, self.epochs["guided"] + number / count, learn=True, record=False)
                done += 1
                yield Progress("guided", self.epochs["guided"], done, total, loss)
            self._end_epoch("guided")
        if settings.closed_loop_epochs and not self.epochs["safe start"]:
            if settings.guided_epochs:
                yield Progress("safe start", 0, done, total, drift_db=self._safe_start())
            self.epochs["safe start"] = 1
        done += self.epochs["closed loop"] * count
        while self.epochs["closed loop"] < settings.closed_loop_epochs:
            epoch = self.epochs["closed loop"]
            for number in range(count):
                loss, decibels = self._closed_loop(number, epoch + number / count)
                done += 1
                yield Progress("closed loop", epoch, done, total, loss, decibels)
            self._end_epoch("closed loop")

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {
            "learner": self._learner.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self._optimisers.items()},
            "epochs": dict(self.epochs),
            "log": list(self.log),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._learner.load_state_dict(state["learner"])
        for name, optimiser in self._optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.epochs, self.log = dict(state["epochs"]), list(state["log"])

    def measure(self, number: int) -> float:
        """Closed-loop distance of one batch's final latents, in dB (higher is nearer)."""
        with torch.no_grad():
            self._learner.prepare(self._sigmas)
            return _decibels(self._rollout(number, gradients=False), self._references[number])

    def _optimiser(self, lr: float, epochs: int) -> Optimiser:
        settings = self._settings
        return Optimiser(
            self._learner.parameters(),
            lr=lr,
            weight_decay=settings.weight_decay,
            clip=settings.clip,
            schedule=settings.lr_schedule,
            epochs=epochs,
        )

    def _run_uncached(self, batch: Batch, observers: Sequence[Observer]) -> Tensor:
        session = attach_strategy(self._sampler.pipe, self._uncached, self._backbone, self._tap, observers=observers)
        with session, torch.no_grad():
            return self._sampler.run(batch)

    def _guided(self, batch: Batch, epoch: float, *, learn: bool, record: bool) -> float | None:
        optimiser = self._optimisers["guided"]
        optimiser.set_epoch(epoch)
        meter, recorder = _LossMeter(optimiser), Recorder(features=False, latents=True)
        observers: list[Observer] = [recorder]
        if learn:
            observers.append(GuidedObserver(self._strategy, self._learner, meter))
        final = self._run_uncached(batch, observers)
        if record:
            self._references.append([*recorder.latents, final])
        self._note("guided", epoch, meter.mean(), None)
        return meter.mean()

    def _safe_start(self) -> float:
        """Keep as much of what stage 1 learnt as the closed loop bears."""
        state = self._learner.state_dict()
        results: dict[float, float] = {}
        for factor in _RESTRAINTS:
            self._learner.load_state_dict(state)
            self._learner.restrain(factor)
            results[factor] = self.measure(0)
        best = max(results, key=lambda factor: results[factor])
        self._learner.load_state_dict(state)
        self._learner.restrain(best)
        self.log.append({"stage": "safe start", "drift_db": {str(k): v for k, v in results.items()}, "kept": best})
        return results[best]

    def _closed_loop(self, number: int, epoch: float) -> tuple[float | None, float]:
        optimiser = self._optimisers["closed loop"]
        optimiser.set_epoch(epoch)
        meter, reference = _LossMeter(optimiser), self._references[number]
        if self._settings.target == "trajectory":
            with torch.enable_grad():
                self._learner.prepare(self._sigmas)
                latents = self._rollout(number, gradients=True)
                meter(trajectory_loss(latents, reference))
        else:
            recorder = Recorder()
            self._run_uncached(self._batches[number], (recorder,))
            online = OnlineLearner(self._learner, recorder.by_step, meter)
            strategy = Strategy(self._strategy.schedule, self._strategy.router, online, check_finite=False)
            with torch.no_grad():
                latents = self._rollout(number, gradients=False, strategy=strategy)
        decibels = _decibels(latents, reference)
        self._note("closed loop", epoch, meter.mean(), decibels)
        # Sessions are cycles, and this one's histories hold a run's whole graph: gigabytes, which Python takes for a
        # few small objects and leaves lying longer and longer.
        gc.collect()
        return meter.mean(), decibels

    def _rollout(self, number: int, *, gradients: bool, strategy: Strategy | None = None) -> list[Tensor]:
        return rollout(
            self._sampler,
            strategy or self._strategy,
            self._batches[number],
            backbone=self._backbone,
            tap=self._tap,
            gradients=gradients,
            through_model=gradients and self._settings.through_model,
        )

    def _end_epoch(self, stage: str) -> None:
        self.epochs[stage] += 1
        self._saved()

    def _note(self, stage: Stage, epoch: float, loss: float | None, decibels: float | None) -> None:
        if loss is not None:
            self.log.append({"stage": stage, "epoch": round(epoch, 4), "loss": loss, "drift_db": decibels})


def _decibels(latents: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    return float(-10 * torch.log10(drift(latents[-1:], reference[-1:]).detach().clamp_min(1e-20)).mean())
