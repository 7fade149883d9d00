"""Start here: `accelerate` puts a configuration to work in a pipeline or a transformer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from torch import Tensor, nn

from lesa_framework.backbones import find_adapter
from lesa_framework.config.loading import load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.devices import check_place
from lesa_framework.errors import LesaError, LesaWarning, UnsupportedBackboneError
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.observer import Observer
from lesa_framework.model_info import ModelInfo, describe_model
from lesa_framework.plugin.manager import plugins
from lesa_framework.report import CallReport, RunReport
from lesa_framework.runtime.attach import Attachment
from lesa_framework.runtime.engine import Engine, NewHistory
from lesa_framework.runtime.grid import FixedGrid, SchedulerGrid
from lesa_framework.runtime.history import History
from lesa_framework.runtime.readings import Scheduler
from lesa_framework.runtime.requests import Requests
from lesa_framework.runtime.strategy import Agree, Strategy, alone
from lesa_framework.runtime.tracking import Tracker
from lesa_framework.types import RunInfo, StepRecord, Tap


class Pipeline(Protocol):
    """The part of a diffusers pipeline that is used; some have a second transformer."""

    transformer: nn.Module
    scheduler: Scheduler


#: Where pipelines keep their transformers; those that a pipeline lacks, or has as None, are skipped.
_TRANSFORMERS = ("transformer", "transformer_2", "unconditional_transformer")


class Session:
    """A configuration attached to a model. A context manager: leaving it detaches for good.

    Made by [`accelerate`][lesa_framework.accelerate].

    Args:
        requests: Who calls the model.
        attachments: One for each transformer.
        exchanged: Names the transformers that the pipeline no longer has; by default none.
    """

    def __init__(self, requests: Requests, *attachments: Attachment, exchanged: Callable[[], str] = str) -> None:
        self._requests, self._attachments, self._exchanged = requests, attachments, exchanged
        self._detached = False
        try:
            for attachment in attachments:
                attachment.attach()
        except BaseException:
            self.detach()
            raise

    @property
    def report(self) -> CallReport:
        """The report of the pipeline's call in progress, or of the last one; of this thread, if it made any."""
        self._check_place()
        return self._requests.report

    def detach(self) -> None:
        """Leave the model as it was before, bit for bit, and free the histories."""
        self._check_place()
        self._detached = True
        for attachment in self._attachments:
            attachment.detach()
        self._requests.close()

    def _check_place(self) -> None:
        """Warn, once, if the pipeline has another transformer by now: no call of it reaches this session."""
        exchanged = "" if self._detached else self._exchanged()
        if exchanged:
            self._exchanged = str
            warnings.warn(
                f"Session: the pipeline's {exchanged} was exchanged after it was accelerated. No call of the new one "
                "reached this session, and nothing of it was cached. Detach the session, and accelerate again.",
                LesaWarning,
                stacklevel=3,
            )

    def __enter__(self) -> Session:
        if self._detached:  # runs would silently be uncached
            raise LesaError("Session: it was detached, so nothing would be cached. Call accelerate() again.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()


def build_strategy(config: LesaConfig) -> Strategy:
    """Make the schedule, router and predictor that a configuration asks for.

    Raises:
        ConfigError: They do not fit together.
        ArtifactError: The predictor's weights cannot be used.
    """
    return Strategy(
        config.schedule.build(),
        config.router.build(),
        config.predictor.build(),
        check_finite=config.engine.check_finite,
        history=config.engine.history.build(),
    )


def accelerate(
    target: Pipeline | nn.Module,
    config: LesaConfig | str | Path | Mapping[str, Any],
    *,
    sigmas: Sequence[float] | None = None,
    observers: Sequence[Observer] = (),
    agree: Agree = alone,
) -> Session:
    """Cache the features of a pipeline's transformer.

    Args:
        target: A diffusers pipeline, or a transformer with `sigmas`.
        config: A configuration, a YAML file, a preset's name or a mapping.
        sigmas: For a bare transformer: the sampler's noise levels in [0, 1], falling, the final 0 included.
        observers: Watch the runs; see [`Observer`][lesa_framework.Observer].
        agree: For a model that is split over several processes: every decision that depends on data, "compute?", passes
            through it. Exchange it there, so that all compute if one wants to. By default decisions are as they are.

    Returns:
        A session; use it as a context manager, or call its `detach`.

    Raises:
        ConfigError: The configuration or the noise levels are not valid, or this machine lacks a device.
        ArtifactError: Its weights cannot be used.
        UnsupportedBackboneError: No adapter fits the transformer.

    Example:
        ::

            with lesa.accelerate(pipe, "ref-flux-lesa-n7") as session:
                image = pipe("a red ring on blue", num_inference_steps=50).images[0]
            print(session.report)
    """
    settings = config if isinstance(config, LesaConfig) else load_config(config)
    return attach_strategy(
        target,
        build_strategy(settings),
        settings.backbone,
        settings.backbone.tap,
        sigmas=sigmas,
        observers=observers,
        agree=agree,
    )


def attach_strategy(
    target: Pipeline | nn.Module,
    strategy: Strategy,
    backbone: str | BackboneConfig = "auto",
    tap: Tap = Tap.PRE_HEAD,
    *,
    sigmas: Sequence[float] | None = None,
    observers: Sequence[Observer] = (),
    agree: Agree = alone,
    new_history: NewHistory = History,
    around_compute: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Session:
    """[`accelerate`][lesa_framework.accelerate] with objects instead of a configuration, for notebooks.

    Args:
        target: A diffusers pipeline, or a transformer with `sigmas`.
        strategy: Schedule, router and predictor.
        backbone: An adapter's kind, `auto`, or a configuration's `backbone` section.
        tap: Where the feature is taken.
        sigmas: For a bare transformer: the sampler's noise levels in [0, 1], falling, the final 0 included.
        observers: Watch the runs; see [`Observer`][lesa_framework.Observer].
        agree: As in [`accelerate`][lesa_framework.accelerate].
        new_history: Makes a branch's history; training keeps graphs in it.
        around_compute: Makes a context for each computed step; training switches gradients off with it.

    Raises:
        UnsupportedBackboneError: No adapter fits the transformer, or not at this tap.
        ConfigError: `sigmas` are not noise levels, or this machine lacks the device of the strategy's history.
    """
    check_place(strategy.history)
    models, fixed = _split(target, sigmas)
    found = {name: find_adapter(model, backbone) for name, model in models.items()}
    for name, match in found.items():
        if tap not in match.adapter.taps:
            raise UnsupportedBackboneError(
                f"backbone.tap: '{tap}' does not work on {type(models[name]).__name__}. "
                f"Valid: {', '.join(match.adapter.taps)}."
            )
    kind = next(iter(found.values())).kind

    def look() -> tuple[ModelInfo, ...]:
        return tuple(describe_model(models[name], match.adapter.blocks) for name, match in found.items())

    watching = (*_plugin_observers(), *observers)

    def request(owner: Pipeline | None, covers_call: bool) -> tuple[Engine, Tracker]:
        engine = Engine(strategy, kind, Tap(tap), watching, new_history, agree, look, covers_call)
        return engine, Tracker(fixed or SchedulerGrid(owner or target, is_one_call=covers_call))

    bare = _is_bare(target)
    requests = Requests(request, () if bare else models.values())
    attachments = [
        Attachment(
            models[name],
            match.adapter,
            Tap(tap),
            requests,
            around_compute,
            "" if name == _TRANSFORMERS[0] else name,
            match.verified,
        )
        for name, match in found.items()
    ]

    def exchanged() -> str:
        return "" if bare else ", ".join(name for name in models if getattr(target, name, None) is not models[name])

    return Session(requests, *attachments, exchanged=exchanged)


def _is_bare(target: object) -> bool:
    """Whether it is a transformer, not a pipeline; a few pipelines are modules too."""
    is_pipeline = bool(transformers_of(target)) and getattr(target, "scheduler", None) is not None
    return isinstance(target, nn.Module) and not is_pipeline


def _split(
    target: Pipeline | nn.Module, sigmas: Sequence[float] | None
) -> tuple[dict[str, nn.Module], FixedGrid | None]:
    if _is_bare(target):
        assert isinstance(target, nn.Module)
        if sigmas is None or len(sigmas) < 2:
            raise UnsupportedBackboneError(
                "accelerate: a bare transformer does not know its noise levels. "
                "Pass sigmas=[...], the sampler's grid with the final 0, or pass the whole pipeline."
            )
        return {_TRANSFORMERS[0]: target}, FixedGrid(sigmas)
    models = transformers_of(target)
    if not models:
        raise UnsupportedBackboneError(
            f"accelerate: {type(target).__name__} is neither a torch module nor a pipeline with a `transformer`."
        )
    return models, None if sigmas is None else FixedGrid(sigmas)


def transformers_of(pipe: object) -> dict[str, nn.Module]:
    """A pipeline's transformers by attribute name, the first one first; empty when it has none."""
    found: dict[str, nn.Module] = {}
    for name in _TRANSFORMERS:
        model = getattr(pipe, name, None)
        if isinstance(model, nn.Module) and all(model is not other for other in found.values()):
            found[name] = model
    return found


class _PluginHooks(Observer):
    """Passes runs on to the hooks of all plugins."""

    def __init__(self, hook: Any) -> None:  # pluggy's relay has the hooks as attributes that no checker can see
        self._hook = hook

    def lesa_run_start(self, run: RunInfo) -> None:
        self._hook.lesa_run_start(run=run)

    def lesa_step_end(self, record: StepRecord, latent: Tensor, feature: Tensor) -> None:
        self._hook.lesa_step_end(record=record, latent=latent, feature=feature)

    def lesa_run_end(self, report: RunReport) -> None:
        self._hook.lesa_run_end(report=report)


def _plugin_observers() -> tuple[Observer, ...]:
    hook: Any = plugins().hook
    watched = (hook.lesa_run_start, hook.lesa_step_end, hook.lesa_run_end)
    return (_PluginHooks(hook),) if any(caller.get_hookimpls() for caller in watched) else ()
