"""The task that a fit is given: prompts, grid, schedule, router, and runs of the sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lesa_framework.api import attach_strategy
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.generation import GenerationSettings, sampler_grid
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.fit import Batch, FitTask, TrainingConfig
from lesa_framework.interfaces.observer import Observer
from lesa_framework.interfaces.predictor import Predictor
from lesa_framework.interfaces.router import StageRouter
from lesa_framework.interfaces.schedule import Always, SchedulePolicy
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.processes import ALONE, World
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.runtime.strategy import NeverAsked, Strategy
from lesa_framework.training.graph_history import GraphHistory
from lesa_framework.training.sampler import Sampler
from lesa_framework.types import AS_MADE, HistoryPlace, RunInfo, Tap

#: Training seeds start here, so that a picture of seed 0 was never trained on.
_FIRST_SEED = 10_000


class LastRun(Observer):
    """Keeps what was fixed in the last run of a fit; None before there was one."""

    run: RunInfo | None = None

    def lesa_run_start(self, run: RunInfo) -> None:
        """Keep it."""
        self.run = run


@dataclass(frozen=True)
class Task(FitTask):
    """A fit's task on a pipeline.

    Args:
        settings: The `training` section.
        sampler: Pipeline and call.
        sigmas: The sampler's grid, the final 0 included.
        schedule: Which steps will be computed.
        router: Noise level to stage.
        backbone: Kind of the adapter, or a configuration's `backbone` section.
        tap: Where features are taken.
        batches: Prompts and seeds.
        history: Where a rollout keeps its features.
        world: The processes that make the same fit.
        seen: Told of every run.
    """

    settings: TrainingConfig
    sampler: Sampler
    sigmas: tuple[float, ...]
    schedule: SchedulePolicy
    router: StageRouter
    backbone: str | BackboneConfig
    tap: Tap
    batches: tuple[Batch, ...]
    history: HistoryPlace = AS_MADE
    world: World = ALONE
    seen: LastRun = field(default_factory=LastRun)

    def uncached(self, batch: Batch, *observers: Observer) -> list[Tensor]:
        """Run the bare model; returns the latents of every step."""
        bare = Strategy(Always(), self.router, NeverAsked(), check_finite=False)
        recorder = Recorder(features=False, latents=True)
        session = attach_strategy(
            self.sampler.pipe, bare, self.backbone, self.tap, observers=(self.seen, recorder, *observers)
        )
        with session, torch.no_grad():
            final = self.sampler.run(batch)
        return _taken(recorder, final)

    def rollout(
        self,
        batch: Batch,
        predictor: Predictor,
        *,
        gradients: bool = False,
        through_model: bool = False,
        checkpointing: bool = False,
        observers: Sequence[Observer] = (),
    ) -> list[Tensor]:
        """Run the schedule with the predictor; returns the latents of every step."""
        recorder = Recorder(features=False, latents=True)
        session = attach_strategy(
            self.sampler.pipe,
            Strategy(self.schedule, self.router, predictor, check_finite=False, history=self.history),
            self.backbone,
            self.tap,
            observers=(self.seen, recorder, *observers),
            new_history=GraphHistory,
            around_compute=nullcontext if through_model else torch.no_grad,
        )
        with session, self.sampler.checkpointing() if checkpointing else nullcontext():
            final = self.sampler.run(batch, gradients=gradients)
        return _taken(recorder, final)


def _taken(recorder: Recorder, final: Tensor) -> list[Tensor]:
    """The latents of every step and the final one. A model that guides in one call gets each of them several times.

    Some pipelines call the model with further dimensions of size 1, which the final latents get here too. The recorder
    does not keep the latents: a session is a cycle, which Python collects late.
    """
    latents, recorder.latents = [each[: len(final)] for each in recorder.latents], []
    if latents and _sizes(latents[-1]) == _sizes(final):
        final = final.reshape(latents[-1].shape)
    return [*latents, final]


def _sizes(latent: Tensor) -> list[int]:
    return [size for size in latent.shape if size != 1]


def make_task(
    config: LesaConfig, pipe: CallablePipeline, call: Mapping[str, Any], prompts: Sequence[str], world: World = ALONE
) -> Task:
    """What a configuration's fit is given; the arguments are those of `train`.

    Raises:
        ConfigError: There are no prompts, or the pipeline refuses the call.
    """
    if not prompts:
        raise ConfigError("prompts: none were given. A fit needs at least one, better sixteen.")
    settings = config.training
    return Task(
        settings,
        Sampler(pipe, settings.num_steps, dict(call)),
        sampler_grid(pipe, GenerationSettings(num_steps=settings.num_steps, call=dict(call))),
        config.schedule.build(),
        config.router.build(),
        config.backbone,
        config.backbone.tap,
        make_batches(prompts, settings.batch, settings.seed),
        config.engine.history.build(),
        world,
    )


def make_batches(prompts: Sequence[str], size: int, seed: int) -> tuple[Batch, ...]:
    """Prompts in batches, each prompt with a seed of its own."""
    first = _FIRST_SEED * (1 + seed)
    pairs = [(prompt, first + number) for number, prompt in enumerate(prompts)]
    parts = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    return tuple(Batch(tuple(p for p, _ in part), tuple(s for _, s in part)) for part in parts)
