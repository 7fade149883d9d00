"""LESA's two-stage training (arXiv 2602.20497, section 3.3)."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lesa_framework import Batch, ConfigError, Fit, FitSize, FitTask, HistoryView, Progress, Recorder, StepContext
from lesa_framework.training import NoGradientsError, TrueHistory, drift_db
from lesa_kan.losses import step_loss, trajectory_loss
from lesa_kan.meter import LossMeter
from lesa_kan.online import OnlineTraining
from lesa_kan.optimiser import Optimiser
from lesa_kan.settings import LesaTrainingConfig
from lesa_kan.trainable_lesa import TrainableLesa

_GUIDED, _SAFE_START, _CLOSED_LOOP = "guided", "safe start", "closed loop"
#: Strengths tried between the stages, from reuse (0) to the whole correction of stage 1 (1).
_RESTRAINTS = (1.0, 0.5, 0.25, 0.1, 0.0)


class TwoStageFit(Fit):
    """Stage 1 trains each predicted step on true features; stage 2 trains while the schedule runs.

    Args:
        trainable: What is trained, in place.
        settings: Epochs, rates, target.
        task: Prompts, grid, schedule, and runs of the sampler.

    Raises:
        ConfigError: Several processes would predict other steps, or no batch is left to be held out.
    """

    def __init__(self, trainable: TrainableLesa, settings: LesaTrainingConfig, task: FitTask) -> None:
        if task.world.size > 1 and task.schedule.dynamic:
            raise ConfigError(
                f"schedule: it reads latents, so each of the {task.world.size} processes would predict other steps, "
                "and what they learn could not be added up. Use one process, or a schedule that reads none."
            )
        if settings.held_out and len(task.batches) == 1:
            raise ConfigError(
                "training.held_out: all prompts are in one batch, which cannot be both trained on and held out. Lower "
                "training.batch, give more prompts, or leave held_out out."
            )
        self.predictor = self._trainable = trainable
        self._settings, self._task = settings, task
        self._references: list[list[Tensor]] = []
        self._optimisers = {
            _GUIDED: self._optimiser(settings.guided_lr, settings.guided_epochs),
            _CLOSED_LOOP: self._optimiser(settings.closed_loop_lr, settings.closed_loop_epochs),
        }
        self.epochs = {_GUIDED: 0, _SAFE_START: 0, _CLOSED_LOOP: 0}
        self.log: list[dict[str, Any]] = []
        self._batches = [batch.part(task.world) for batch in task.batches]
        count = len(self._batches)
        held_out = min(count - 1, max(1, round(settings.held_out * count))) if settings.held_out else 0
        self._count = count - held_out
        self._best: tuple[float, dict[str, Tensor]] | None = None

    def run(self) -> Iterator[Progress]:
        """Run the rest of the training; yields after every batch.

        Raises:
            ConfigError: No step of a batch was predicted.
        """
        yield from self._record()
        yield from self._guided_epochs()
        if self._settings.closed_loop_epochs and not self.epochs[_SAFE_START]:
            if self._settings.guided_epochs:
                yield Progress(_SAFE_START, self._done(), self._total, drift_db=self._safe_start())
            self.epochs[_SAFE_START] = 1
        yield from self._closed_loop_epochs()
        if self._best is not None:
            self._trainable.load_state_dict(self._best[1])

    @property
    def drift_db(self) -> float | None:
        """Of the batches that are held out, else mean over those of the closed loop's last epoch; None without both."""
        if self._best is not None:
            return self._best[0]
        every = [entry["drift_db"] for entry in self.log if entry["stage"] == _CLOSED_LOOP]
        last = every[-max(1, len(every) // max(self._settings.closed_loop_epochs, 1)) :]
        return sum(last) / len(last) if last else None

    def tensors(self) -> dict[str, Tensor]:
        """Those of the trainable, tables for the task's grid included."""
        return self._trainable.tensors(self._task.sigmas)

    def size(self, branches: int) -> FitSize:  # noqa: ARG002 - the trainable is made already
        """Adam keeps two numbers for each parameter, in each stage; the best weights so far are kept too."""
        settings, parameters = self._settings, _bytes_of(self._trainable.state_dict())
        moments = 2 * sum(epochs > 0 for epochs in (settings.guided_epochs, settings.closed_loop_epochs))
        state = parameters * (1 + moments + (self._count < len(self._batches)))
        samples = sum(len(batch.prompts) for batch in self._batches)
        return FitSize(self._total, _bytes_of(self.tensors()), state, samples)

    def settings(self) -> dict[str, Any]:
        """Those of the trainable."""
        return self._trainable.settings()

    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs."""
        return {
            "trainable": self._trainable.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self._optimisers.items()},
            "epochs": dict(self.epochs),
            "log": list(self.log),
            "best": None if self._best is None else [self._best[0], dict(self._best[1])],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a checkpoint."""
        self._trainable.load_state_dict(state["trainable"])
        for name, optimiser in self._optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.epochs, self.log = dict(state["epochs"]), list(state["log"])
        best = state.get("best")
        self._best = None if best is None else (float(best[0]), dict(best[1]))

    def measure(self, number: int) -> float:
        """Closed-loop distance of one batch's final latents, in dB (higher is closer)."""
        with torch.no_grad():
            self._trainable.prepare(self._task.sigmas)
            return self._drift_db(self._task.rollout(self._batches[number], self._trainable), number)

    # ------------------------------------------------------------------------------------------------- stage 1

    def _record(self) -> Iterator[Progress]:
        """Record the uncached runs and train stage 1's first epoch on them: the runs are needed anyway."""
        train = self.epochs[_GUIDED] == 0 and self._settings.guided_epochs > 0
        resumes = any(self.epochs.values())
        for number, batch in enumerate(self._batches):
            learns = train and number < self._count
            loss, latents = self._guided(batch, number / self._count, train=learns)
            self._references.append([latent.cpu() for latent in latents])  # of all batches, until the end
            last = learns and self._ends_epoch(number, _GUIDED)
            done = self._done() if resumes else min(number + 1, self._count)
            yield Progress(_GUIDED if learns else "record", done, self._total, 0, loss, save=last)

    def _guided_epochs(self) -> Iterator[Progress]:
        while self.epochs[_GUIDED] < self._settings.guided_epochs:
            epoch, done = self.epochs[_GUIDED], self._done()
            for number, batch in enumerate(self._batches[: self._count]):
                loss, _ = self._guided(batch, epoch + number / self._count, train=True)
                last = self._ends_epoch(number, _GUIDED)
                yield Progress(_GUIDED, done + number + 1, self._total, epoch, loss, save=last)

    def _guided(self, batch: Batch, epoch: float, *, train: bool) -> tuple[float | None, list[Tensor]]:
        optimiser = self._optimisers[_GUIDED]
        optimiser.set_epoch(epoch)
        meter = self._meter(optimiser, batch)

        def visit(history: HistoryView, ctx: StepContext, feature: Tensor) -> None:
            meter(step_loss(self._trainable, history, ctx, feature))

        observers = (TrueHistory(self._task, self._trainable, visit),) if train else ()
        latents = self._task.uncached(batch, *observers)
        loss = meter.mean() if train else None
        self._note(_GUIDED, epoch, loss, None)
        return loss, latents

    def _safe_start(self) -> float:
        """Keep as much of stage 1's correction as is stable in closed loop."""
        state = self._trainable.state_dict()
        results: dict[float, float] = {}
        for factor in _RESTRAINTS:
            self._trainable.load_state_dict(state)
            self._trainable.restrain(factor)
            results[factor] = self.measure(0)
        best = max(results, key=lambda factor: results[factor])
        self._trainable.load_state_dict(state)
        self._trainable.restrain(best)
        self.log.append({"stage": _SAFE_START, "drift_db": {str(k): v for k, v in results.items()}, "kept": best})
        return results[best]

    # ------------------------------------------------------------------------------------------------- stage 2

    def _closed_loop_epochs(self) -> Iterator[Progress]:
        if self._best is None:
            self._score_held_out()
        while self.epochs[_CLOSED_LOOP] < self._settings.closed_loop_epochs:
            epoch, done = self.epochs[_CLOSED_LOOP], self._done()
            for number in range(self._count):
                loss, decibels = self._closed_loop(number, epoch + number / self._count)
                last = self._ends_epoch(number, _CLOSED_LOOP)
                if last:
                    self._score_held_out()
                yield Progress(_CLOSED_LOOP, done + number + 1, self._total, epoch, loss, decibels, save=last)

    def _closed_loop(self, number: int, epoch: float) -> tuple[float, float]:
        optimiser = self._optimisers[_CLOSED_LOOP]
        optimiser.set_epoch(epoch)
        reference, batch = self._references[number], self._batches[number]
        meter = self._meter(optimiser, batch)
        if self._settings.target == "trajectory":
            with torch.enable_grad():
                self._trainable.prepare(self._task.sigmas)
                latents = self._rollout_with_gradients(batch)
                if latents[-1].requires_grad:  # else nothing was predicted, and there is no loss
                    meter(trajectory_loss(latents, reference))
        else:
            recorder = Recorder()
            self._task.uncached(batch, recorder)
            with torch.no_grad():
                latents = self._task.rollout(batch, OnlineTraining(self._trainable, recorder.by_step, meter))
        decibels = self._drift_db(latents, number)
        self._note(_CLOSED_LOOP, epoch, meter.mean(), decibels)
        # Sessions are cycles, and this one's histories hold a run's whole graph: gigabytes, which Python takes for a
        # few small objects and collects later and later.
        gc.collect()
        return meter.mean(), decibels

    def _score_held_out(self) -> None:
        """Measure on the batches that are held out, if any, and keep the weights if they are the best so far."""
        found = [self.measure(number) for number in range(self._count, len(self._batches))]
        if found:
            decibels = sum(found) / len(found)
            self.log.append({"stage": "held out", "epoch": self.epochs[_CLOSED_LOOP], "drift_db": decibels})
            if self._best is None or decibels > self._best[0]:
                self._best = decibels, self._trainable.state_dict()

    def _rollout_with_gradients(self, batch: Batch) -> list[Tensor]:
        through_model = self._settings.through_model
        try:
            return self._task.rollout(batch, self._trainable, gradients=True, through_model=through_model)
        except NoGradientsError as error:
            remedy = "Use `--set training.target=feature`, which needs none."
            raise NoGradientsError(error.pipeline, remedy) from error

    # --------------------------------------------------------------------------------------------------- parts

    def _meter(self, optimiser: Optimiser, batch: Batch) -> LossMeter:
        return LossMeter(optimiser, self._task.world, batch.share)

    def _drift_db(self, latents: list[Tensor], number: int) -> float:
        return self._task.world.mean(drift_db(latents, self._references[number]), self._batches[number].share)

    @property
    def _total(self) -> int:
        return self._count * (max(1, self._settings.guided_epochs) + self._settings.closed_loop_epochs)

    def _done(self) -> int:
        """Finished batches; recording counts as an epoch of stage 1."""
        return self._count * (max(1, self.epochs[_GUIDED]) + self.epochs[_CLOSED_LOOP])

    def _ends_epoch(self, number: int, stage: str) -> bool:
        """Count an epoch when the batch was its last."""
        last = number == self._count - 1
        self.epochs[stage] += last
        return last

    def _optimiser(self, lr: float, epochs: int) -> Optimiser:
        settings = self._settings
        return Optimiser(
            self._trainable.parameters(),
            lr=lr,
            weight_decay=settings.weight_decay,
            clip=settings.clip,
            schedule=settings.lr_schedule,
            epochs=epochs,
            world=self._task.world,
        )

    def _note(self, stage: str, epoch: float, loss: float | None, decibels: float | None) -> None:
        if loss is not None:
            skipped = self._optimisers[stage].skipped
            entry = {"stage": stage, "epoch": round(epoch, 4), "loss": loss, "drift_db": decibels}
            self.log.append(entry | ({"skipped": skipped} if skipped else {}))


def _bytes_of(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())
