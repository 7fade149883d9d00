"""Makes the comparisons that the page shows, one at a time, and keeps the uncached samples."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Final

import torch

from lesa_framework.api import accelerate
from lesa_framework.automatic import Budget
from lesa_framework.errors import ConfigError, LesaError, LesaWarning
from lesa_framework.generation import GenerationSettings, check_call, generate_batch
from lesa_framework.measure.lineup import caches, check_fits
from lesa_framework.measure.scoring import load_metrics
from lesa_framework.pipelines import CallablePipeline, ModelSource, load_pipeline
from lesa_framework.report import CallReport
from lesa_framework.session import Session
from lesa_framework.types import Samples
from lesa_framework.ui.asked import Asked, Sampled
from lesa_framework.ui.methods import Method, config_of, offered

#: Uncached samples that are kept, and how many bytes of them; the newest one is kept whatever its size.
_KEPT, _BYTES = 16, 2**29
#: Steps of the run that warms a model up: first calls are slower, and the first one would be the uncached one.
_WARM: Final = 2
#: Seconds that the last step of a run, or the loading of a model, has when the page is closed.
_LAST_STEP: Final = 5.0


class StoppedRunError(Exception):
    """The visitor stopped the run."""


@dataclass(frozen=True)
class Offered:
    """A model that the page offers.

    Attributes:
        source: The model.
        call: Arguments of its pipeline.
    """

    source: ModelSource
    call: Mapping[str, object]


@dataclass(frozen=True)
class Progress:
    """How far a run is: `step` of `steps` of `what`, `loading` in 0 steps included."""

    what: str
    step: int
    steps: int


@dataclass(frozen=True)
class Outcome:
    """A comparison that was made.

    Attributes:
        asked: What was asked for.
        uncached: The sample of the uncached run.
        cached: The sample of the cached run.
        report: What the cached run did.
        scores: Name of a metric -> its score against the uncached sample; infinite for a PSNR of identical ones.
        was_kept: Whether the uncached sample was made before.
        notes: Warnings of the run.
    """

    asked: Asked
    uncached: Samples
    cached: Samples
    report: CallReport
    scores: Mapping[str, float | None]
    was_kept: bool
    notes: tuple[str, ...] = ()


#: Is told how far a run is.
Told = Callable[[Progress], None]


class Studio:
    """Models, loaded when they are first used, and the uncached samples made with them.

    Args:
        models: What can be run.
        weights: Where the automatic choice looks for weights; see [`accelerate`][lesa_framework.accelerate].
        device: Where models run; by default the GPU when there is one.
    """

    def __init__(self, models: Sequence[Offered], weights: Path | None = None, device: str | None = None) -> None:
        self._models = {each.source.name: each for each in models}
        self._weights, self._device = weights, device
        self._pipes: dict[str, CallablePipeline] = {}
        self._kept: OrderedDict[Sampled, Samples] = OrderedDict()
        self._one, self._stop, self._visitor = Lock(), Event(), ""
        self._closed = False

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that can be run."""
        return tuple(self._models)

    def prompt(self, model: str, seed: int) -> str | None:
        """Something to draw that the model can; None where it has no source of prompts."""
        named = self._of(model).source.named
        source = named and (named.demo_prompts or named.prompts)
        return source(seed, 1)[0] if source else None

    def methods(self, model: str, steps: int) -> tuple[Method, ...]:
        """The methods that a run of so many steps can have.

        Raises:
            LesaError: The model cannot be loaded, or not be cached.
        """
        with self._one:
            return offered(self._pipe(model, lambda _: None), model, self._settings(model, steps))

    def has_uncached(self, sample: Sampled) -> bool:
        """Whether the uncached sample is there, so that only the cached run is missing."""
        return sample in self._kept

    def stop(self, visitor: str) -> None:
        """Stop the run of a visitor at its next step; nothing happens where none is under way."""
        if visitor == self._visitor:
            self._stop.set()

    def close(self) -> None:
        """Stop whatever run is under way and wait a while for the end of its step; no other one begins."""
        self._closed = True
        self._stop.set()
        if self._one.acquire(timeout=_LAST_STEP):
            self._one.release()

    def compare(self, asked: Asked, visitor: str, told: Told) -> Outcome:
        """Sample with a cache and, unless that was done before, without one.

        Args:
            asked: What to do.
            visitor: Who may stop it.
            told: Is told at every step.

        Raises:
            StoppedRunError: The visitor stopped it.
            LesaError: The model cannot be loaded, or the method does not fit the run.
        """
        with self._one, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", LesaWarning)
            self._stop.clear()
            if self._closed:
                raise StoppedRunError
            self._visitor = visitor
            try:
                return self._compared(asked, told, caught)
            finally:
                self._visitor = ""

    def _compared(self, asked: Asked, told: Told, caught: Sequence[warnings.WarningMessage]) -> Outcome:
        sample = asked.sample
        pipe = self._pipe(sample.model, told)
        session = self._session(pipe, asked)  # before the long part: it may not fit
        was_kept = sample in self._kept
        if not was_kept:
            self._keep(sample, self._sampled(pipe, sample, "uncached", told))
        self._kept.move_to_end(sample)
        uncached = self._kept[sample]
        with session() as attached:
            cached = self._sampled(pipe, sample, "cached", told)
            report = attached.report
        notes = dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, LesaWarning))
        return Outcome(asked, uncached, cached, report, _scores(cached, uncached, sample), was_kept, tuple(notes))

    def _session(self, pipe: CallablePipeline, asked: Asked) -> Callable[[], AbstractContextManager[Session]]:
        config = config_of(asked.method, asked.speedup)
        if config is None:
            Budget(asked.speedup)
            return lambda: accelerate(pipe, speedup=asked.speedup, weights=self._weights)
        methods = caches([(config, "")], asked.sample.steps)
        check_fits(pipe, methods, self._settings(asked.sample.model, asked.sample.steps))
        return lambda: accelerate(pipe, config)

    def _sampled(self, pipe: CallablePipeline, sample: Sampled, what: str, told: Told) -> Samples:
        def after_step(step: int) -> None:
            if self._stop.is_set():
                raise StoppedRunError
            told(Progress(what, step + 1, sample.steps))

        told(Progress(what, 0, sample.steps))
        settings = self._settings(sample.model, sample.steps)
        samples = generate_batch(pipe, [sample.prompt], [sample.seed], settings, after_step)
        if not bool(torch.isfinite(samples.images).all()):
            raise LesaError(f"The {what} picture is not finite. Check the weights of model and predictor.")
        return samples

    def _keep(self, sample: Sampled, samples: Samples) -> None:
        self._kept[sample] = samples
        while len(self._kept) > 1 and (len(self._kept) > _KEPT or sum(map(_size, self._kept.values())) > _BYTES):
            self._kept.popitem(last=False)

    def _pipe(self, model: str, told: Told) -> CallablePipeline:
        if model not in self._pipes:
            told(Progress("loading", 0, 0))
            offer = self._of(model)
            pipe = load_pipeline(offer.source, device=self._device)
            check_call(pipe, offer.call)
            generate_batch(pipe, [self.prompt(model, 0) or "a"], [0], self._settings(model, _WARM))
            self._pipes[model] = pipe
        return self._pipes[model]

    def _of(self, model: str) -> Offered:
        if model not in self._models:
            raise ConfigError(f"Model: '{model}' is none of those in the list: {', '.join(self._models)}.")
        return self._models[model]

    def _settings(self, model: str, steps: int) -> GenerationSettings:
        return GenerationSettings(num_steps=steps, call=dict(self._of(model).call))


def _size(samples: Samples) -> int:
    return samples.images.nbytes + samples.latents.nbytes


def _scores(cached: Samples, uncached: Samples, sample: Sampled) -> dict[str, float | None]:
    loaded = load_metrics([], torch.device("cpu")).loaded
    return {name: metric.measure(cached, uncached, [sample.prompt])[0] for name, metric in loaded.items()}
