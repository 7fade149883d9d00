"""Trials: a candidate is fitted where that is cheap, and judged in closed loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.generation import GenerationSettings
from lesa_framework.interfaces.fit import Batch, TrainingConfig
from lesa_framework.interfaces.observer import Observer
from lesa_framework.interfaces.predictor import Predictor, PredictorConfig
from lesa_framework.interfaces.schedule import ScheduleConfig
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.place import Pipeline, place_of
from lesa_framework.plugin.manager import plugins
from lesa_framework.processes import ALONE, World
from lesa_framework.runtime.strategy import Strategy
from lesa_framework.search.candidates import Steps
from lesa_framework.search.prompts import Prompts
from lesa_framework.training.contract import check_fit_needs
from lesa_framework.training.distance import closeness_db
from lesa_framework.training.task import LastRun, Task, make_task
from lesa_framework.turns import steps_in_turns
from lesa_framework.types import StepRecord

#: Predictors that candidates are tried with when one of them is not the predictor itself; the first that is there.
_GUIDES = ("fitted", "taylorseer")
#: A prompt with its seed.
_Sample: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class RecordedTask(Task):
    """A task that runs the uncached model once for each sample, and keeps the latents on the CPU.

    Args:
        kept: What was recorded, for all candidates together.
    """

    kept: dict[_Sample, list[Tensor]] = field(default_factory=dict)

    def uncached(self, batch: Batch, *observers: Observer) -> list[Tensor]:
        """What was recorded; runs the model for observers, or when something was not recorded yet."""
        samples = list(zip(batch.prompts, batch.seeds, strict=True))
        if observers or not all(sample in self.kept for sample in samples):
            latents = [latent.cpu() for latent in super().uncached(batch, *observers)]
            for place, sample in enumerate(samples):
                self.kept[sample] = [latent[place : place + 1] for latent in latents]
            return latents
        return [torch.cat(parts) for parts in zip(*(self.kept[sample] for sample in samples), strict=True)]


class _StepsDone(Observer):
    """Tells after a step how many samples are done.

    Args:
        told: Is told.
        before: Samples that were done before this run.
        count: Samples of the run.
        num_steps: Its steps.
    """

    def __init__(self, told: Callable[[float], None], before: int, count: int, num_steps: int) -> None:
        self._told, self._before, self._count, self._num_steps = told, before, count, num_steps

    def lesa_step_end(self, record: StepRecord, latent: Tensor, feature: Tensor) -> None:  # noqa: ARG002 - the hook's signature
        """Tell."""
        steps = record.index + 1
        if steps < self._num_steps:  # the last step's later branches are yet to come
            self._told(self._before + self._count * steps / self._num_steps)


class PipelineTrials:
    """Trials on a pipeline.

    Args:
        config: What candidates are tried with; its schedule is not looked at.
        pipe: The pipeline; its weights are frozen.
        call: Keyword arguments of its call.
        prompts: What to fit and to judge on.
        world: The processes that share the prompts.

    Attributes:
        sigmas: The sampler's grid, the final 0 included.

    Raises:
        ConfigError: The pipeline refuses the call, or the predictor has a fit that is not cheap.
    """

    def __init__(
        self,
        config: LesaConfig,
        pipe: CallablePipeline,
        call: Mapping[str, Any],
        prompts: Prompts,
        world: World = ALONE,
    ) -> None:
        self._config, self._prompts, self._world = config, prompts, world
        made = make_task(config, pipe, call, prompts.fitted, world)
        self._made = RecordedTask(**vars(made) | {"settings": quick_settings(config) or config.training})
        self.sigmas = made.sigmas
        self._call = GenerationSettings(num_steps=config.training.num_steps, call=dict(call))
        self._ends: dict[_Sample, Tensor] = {}
        made.sampler.freeze()

    @property
    def fits(self) -> bool:
        """Whether candidates are fitted."""
        return self._config.predictor.has_fit()

    def record(self, told: Callable[[float], None]) -> None:
        """Run the uncached model on every batch.

        Args:
            told: Is told after every step how many samples are done, with the part of those that are being made.
        """
        done = 0
        for batch in (*self._prompts.fit, *self._prompts.judge):
            count = len(batch.prompts)
            self._reference(batch, _StepsDone(told, done, count, len(self.sigmas) - 1))
            done += count
            told(done)
        # Several processes share other batches otherwise: these runs would be made while a candidate is timed.
        for batch in (self._prompts.quick, *(each for rung in self._prompts.rungs for each in rung)):
            self._reference(batch)

    def try_out(self, steps: Steps, config: LesaConfig, told: Callable[[float], None]) -> None:
        """Fit on one prompt: what a predictor cannot be fitted to is told before all prompts are run uncached.

        Args:
            steps: Of the schedule.
            config: Has the predictor that is fitted at the end; where its fit is cheap, that is tried too.
            told: Is told before each fit and after each part of it how much is done, from 0 to 1.

        Raises:
            ConfigError: A fit refuses the pipeline's runs.
        """
        quick = self._prompts.quick
        task = self._task(steps, (replace(quick, prompts=quick.prompts[:1], seeds=quick.seeds[:1]),))
        cheap = {
            each.predictor.kind: (each.predictor, settings)
            for each in (config, self._config)
            if each.predictor.has_fit() and (settings := each.predictor.quick(each.training)) is not None
        }
        for number, (predictor, settings) in enumerate(cheap.values()):
            told(number / len(cheap))
            for step in predictor.fit(replace(task, settings=settings)).run():
                told((number + step.done / max(1, step.total)) / len(cheap))

    def fixed(self, config: LesaConfig) -> frozenset[int]:
        """Steps that are computed whatever the schedule says, because a predictor has too little history.

        Args:
            config: Has the predictor that is fitted at the end; the one that candidates are tried with counts too.
        """
        found: set[int] = set()
        for each in (self._config, config):
            strategy = Strategy(steps_config((0,)).build(), each.router.build(), self._unfitted(each))
            found |= set(strategy.computed(self.sigmas))
            found |= set(steps_in_turns(self._made.sampler.pipe, strategy, each.backbone, self._call) or ())
        return frozenset(found)

    def scores(self, steps: Steps) -> Iterator[tuple[float, ...]]:
        """Fit on the quick batch, and try rung after rung."""
        predictor = self._fitted(steps, (self._prompts.quick,))
        for rung in self._prompts.rungs:
            yield self.judge(steps, predictor, rung)

    def whole(self, steps: Steps) -> tuple[float, ...]:
        """Fit on all that is for the fit, and judge on what no candidate was tried on."""
        return self.judge(steps, self._fitted(steps, self._prompts.fit), self._prompts.judge)

    def judge(self, steps: Steps, predictor: Predictor, batches: Sequence[Batch]) -> tuple[float, ...]:
        """For each sample the PSNR-like distance of its final latents from the uncached run's, in dB."""
        task, found = self._task(steps, ()), []
        for whole in batches:
            batch = whole.part(self._world)
            with torch.no_grad():
                final = task.rollout(batch, predictor)[-1].cpu().double()
            decibels = closeness_db(final, self._reference(whole))
            found += self._world.rows(decibels if batch.share else decibels[:0]).tolist()
        return tuple(found)

    def _reference(self, whole: Batch, *observers: Observer) -> Tensor:
        """The end of the uncached run of this process's part of a batch."""
        batch = whole.part(self._world)
        samples = list(zip(batch.prompts, batch.seeds, strict=True))
        if not all(sample in self._ends for sample in samples):
            end = self._task((0,), ()).uncached(batch, *observers)[-1].double()
            self._ends |= {sample: end[place : place + 1] for place, sample in enumerate(samples)}
            if not self.fits or whole in self._prompts.judge:
                for sample in samples:
                    del self._made.kept[sample]  # only its end is compared
        return torch.cat([self._ends[sample] for sample in samples])

    def _unfitted(self, config: LesaConfig) -> Predictor:
        if not config.predictor.has_fit():
            return config.predictor.build()
        task = replace(self._task((0,), self._prompts.fit), settings=config.training)
        return config.predictor.fit(task).predictor

    def _fitted(self, steps: Steps, batches: tuple[Batch, ...]) -> Predictor:
        if not self.fits:
            return self._config.predictor.build()
        fit = self._config.predictor.fit(self._task(steps, batches))
        for _ in fit.run():
            pass
        return fit.predictor

    def _task(self, steps: Steps, batches: tuple[Batch, ...]) -> RecordedTask:
        return replace(self._made, schedule=steps_config(steps).build(), batches=batches, seen=LastRun())


def is_tried_itself(config: LesaConfig) -> bool:
    """Whether candidates can be tried with the predictor itself: it has nothing to fit, or a cheap fit."""
    return not config.predictor.has_fit() or config.predictor.quick(config.training) is not None


def quick_settings(config: LesaConfig) -> TrainingConfig | None:
    """Settings of the cheap fit; None for a predictor that has nothing to fit.

    Raises:
        ConfigError: Its fit is not cheap.
    """
    if not config.predictor.has_fit():
        return None
    settings = config.predictor.quick(config.training)
    if settings is None:
        raise ConfigError(
            f"--guide {config.predictor.kind}: has no cheap fit, so candidates cannot be tried with it. "
            f"Give one of {', '.join(guides())}."
        )
    return settings


def guides() -> list[str]:
    """Kinds of predictors that candidates may be tried with."""
    registry = plugins().registry
    found, ready = registry.predictors.items().items(), registry.ready_predictors()
    return [kind for kind, each in found if kind in ready or each.quick is not PredictorConfig.quick]


def guide_of(config: LesaConfig, kind: str | None) -> LesaConfig:
    """What candidates are tried with.

    Args:
        config: The configuration that is searched for.
        kind: The predictor that the user wants for this; None for the predictor itself, or one that it has to make do
            with.

    Raises:
        ConfigError: There is none, the kind cannot serve, or what its fit needs is not installed.
    """
    if kind is None and is_tried_itself(config):
        return config
    chosen = kind or next((each for each in _GUIDES if each in guides()), None)
    if chosen is None:
        raise ConfigError(f"--guide: '{config.predictor.kind}' has no cheap fit. Give one of {', '.join(guides())}.")
    predictor = plugins().registry.predictors.get(chosen)
    if chosen not in guides():
        why = "has no cheap fit" if predictor.has_fit() else "needs weights, which --guide cannot name"
        raise ConfigError(f"--guide {chosen}: {why}. Give one of {', '.join(guides())}.")
    shared = {key: getattr(config.training, key) for key in TrainingConfig.model_fields}
    guide = predictor(kind=chosen)
    check_fit_needs(guide)
    update = {"predictor": guide, "training": predictor.training_config(**shared)}
    return config.model_copy(update=update)


def tapped(config: LesaConfig, pipe: Pipeline) -> LesaConfig:
    """The configuration with the tap that its predictor prefers, where none is given and the pipeline has it.

    Args:
        config: The configuration that is searched for.
        pipe: The pipeline.

    Raises:
        UnsupportedBackboneError: No adapter fits one of its transformers.
    """
    tap, backbone = config.predictor.preferred_tap, config.backbone
    if tap is None or "tap" in backbone.model_fields_set or tap not in place_of(pipe, None, backbone).taps:
        return config
    return config.model_copy(update={"backbone": backbone.model_copy(update={"tap": tap})})


def steps_config(steps: Steps) -> ScheduleConfig:
    """The schedule that computes these steps."""
    return plugins().registry.schedules.get("steps").model_validate({"kind": "steps", "compute": list(steps)})
