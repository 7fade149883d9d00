"""Start here: `accelerate` puts a configuration to work in a pipeline or a transformer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from lesa_framework.artifacts.check import other_model
from lesa_framework.automatic import DEFAULT_SPEEDUP, Watcher, prepare
from lesa_framework.building import build_strategy
from lesa_framework.config.loading import load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.devices import check_place
from lesa_framework.errors import ConfigError
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.host import Host
from lesa_framework.interfaces.observer import Observer
from lesa_framework.place import Pipeline, Place, place_of, transformers_of
from lesa_framework.plugin.manager import plugins
from lesa_framework.run_plan import RunPlan
from lesa_framework.runtime.agreement import agreement
from lesa_framework.runtime.calls.grid import SchedulerGrid
from lesa_framework.runtime.calls.tracking import Locator, Tracker
from lesa_framework.runtime.engine import Engine
from lesa_framework.runtime.features.history import History
from lesa_framework.runtime.hosted import HostedRequests
from lesa_framework.runtime.model.attach import Attachment
from lesa_framework.runtime.requests import Requests
from lesa_framework.runtime.store import NewHistory
from lesa_framework.runtime.strategy import Agree, Strategy, StrategySource
from lesa_framework.runtime.uncached import WhereItFits
from lesa_framework.session import Exchange, Session, described
from lesa_framework.sizing import foresee
from lesa_framework.types import Tap

__all__ = ["Pipeline", "accelerate", "attach_strategy", "plan_run", "transformers_of"]


def accelerate(
    target: Pipeline | nn.Module,
    config: LesaConfig | str | Path | Mapping[str, Any] | None = None,
    *,
    speedup: float | None = None,
    weights: str | Path | None = None,
    backbone: Mapping[str, Any] | None = None,
    sigmas: Sequence[float] | None = None,
    observers: Sequence[Observer] = (),
    agree: Agree | None = None,
    host: Host | None = None,
    misfit: Callable[[str], None] | None = None,
) -> Session:
    """Cache the features of a pipeline's transformer.

    Without a configuration, each run gets the best cache that there is for it: weights that were fitted to this very
    model, grid and size, among the shipped presets and in a folder of yours, or else the best cache that needs none.
    `session.choice` and the report say which and why.

    Args:
        target: A diffusers pipeline, or a transformer with `sigmas`.
        config: A configuration, a YAML file, a preset's name, a mapping, or a safetensors file of weights.
        speedup: Instead of a configuration: steps of a run over computed steps, above 1; 5 when neither is given.
        weights: Without a configuration: the folder of your weights, configurations beside safetensors files as
            `lesa train` writes them. By default the one that the environment variable `LESA_WEIGHTS` names, or else
            `~/.cache/lesa/weights`.
        backbone: Without a configuration: its `backbone` section, for a model of a class that has no adapter.
        sigmas: For a bare transformer: the sampler's noise levels in [0, 1], falling, the final 0 included.
        observers: Watch the runs; see [`Observer`][lesa_framework.Observer].
        agree: For a model that is split over several processes in a way that is not found: every decision that
            depends on data, "compute?", passes through it. Exchange it there, so that all compute if one wants to. By
            default processes that hold shards of `DTensor` parameters, or parts of a sequence by diffusers' context
            parallelism, agree by themselves, and replicas decide on their own.
        host: For a program with a sampler of its own, such as a node editor or a serving engine: asked at each call
            of the model for its run, step and branches, so that nothing is guessed. The run ends with
            `Session.end_run`.
        misfit: What to do where a configuration's schedule or weights refuse a run, such as one of another number of
            steps, where no noise levels can be read from the sampler, or where the adapter refuses a call of the
            model. By default it fails. Otherwise this is called with the reason, once for each, and all steps of the
            run, or the call, are computed, which is what a server wants. Weights of another model fit no run at all:
            with `misfit` or a host they are refused here, and otherwise when a run begins. Observers are told of a
            pipeline's call when it has ended, and not when the next one begins.

    Returns:
        A session; use it as a context manager, or call its `detach`.

    Raises:
        ConfigError: The configuration, the speed-up or the noise levels are not valid, the folder does not exist, or
            this machine lacks a device.
        ArtifactError: Its weights cannot be used.
        UnsupportedBackboneError: No adapter fits the transformer.

    Example:
        ::

            with lesa.accelerate(pipe, speedup=5) as session:
                image = pipe("a red ring on blue", num_inference_steps=50).images[0]
            print(session.report)
    """
    if config is None:
        chooser, without_weights = prepare(DEFAULT_SPEEDUP if speedup is None else speedup, weights, backbone)
        place = place_of(target, sigmas, without_weights.backbone, is_hosted=host is not None)
        is_named = "tap" in (backbone or {})
        tap = without_weights.backbone.tap if is_named else chooser.tap(place.kind, place.look(), place.taps)
        return _attach(place, chooser, tap, (*observers, Watcher()), agree, host, misfit)
    given = {"speedup": speedup, "weights": weights, "backbone": backbone}
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"accelerate: got a configuration and {name}, which is for runs without one. Give one.")
    settings = config if isinstance(config, LesaConfig) else load_config(config)
    return attach_strategy(
        target,
        build_strategy(settings),
        settings.backbone,
        settings.backbone.tap,
        sigmas=sigmas,
        observers=observers,
        agree=agree,
        host=host,
        misfit=misfit,
    )


def attach_strategy(
    target: Pipeline | nn.Module,
    strategy: Strategy,
    backbone: str | BackboneConfig = "auto",
    tap: Tap = Tap.PRE_HEAD,
    *,
    sigmas: Sequence[float] | None = None,
    observers: Sequence[Observer] = (),
    agree: Agree | None = None,
    host: Host | None = None,
    misfit: Callable[[str], None] | None = None,
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
        host: As in [`accelerate`][lesa_framework.accelerate].
        misfit: As in [`accelerate`][lesa_framework.accelerate].
        new_history: Makes a branch's history; training keeps graphs in it.
        around_compute: Makes a context for each computed step; training switches gradients off with it.

    Returns:
        The session; the model is as before when it is detached.

    Raises:
        UnsupportedBackboneError: No adapter fits the transformer, or not at this tap.
        ConfigError: `sigmas` are not noise levels, or this machine lacks the device of the strategy's history.
        ArtifactError: With `misfit` or `host`: the predictor's weights were made for another model.
    """
    check_place(strategy.history)
    place = place_of(target, sigmas, backbone, is_hosted=host is not None)
    if misfit is not None or host is not None:
        _refuse_other_models(strategy, place)
    source: StrategySource = strategy if misfit is None else WhereItFits(strategy, misfit)
    return _attach(place, source, tap, observers, agree, host, misfit, new_history, around_compute)


def _refuse_other_models(strategy: Strategy, place: Place) -> None:
    """Who serves others, or chooses in a node, should not find out at a run that there is none for the weights."""
    made_for = strategy.predictor.trained_for
    if made_for is not None:
        run = replace(made_for, backbone=place.kind, models=place.look())
        if other_model(made_for, run):
            strategy.predictor.check(run)


def plan_run(
    target: Pipeline,
    strategy: Strategy,
    backbone: str | BackboneConfig,
    tap: Tap,
    num_steps: int,
    *,
    batch: int = 1,
    call: Mapping[str, Any] = MappingProxyType({}),
) -> RunPlan:
    """What a run will do and keep, before anything runs; see [`Session.plan`][lesa_framework.Session.plan].

    The device of the strategy's history need not be one of this machine's.
    """
    return foresee(place_of(target, None, backbone), strategy, Tap(tap), num_steps, batch, call)


def _attach(
    place: Place,
    source: StrategySource,
    tap: Tap,
    observers: Sequence[Observer],
    agree: Agree | None,
    host: Host | None,
    misfit: Callable[[str], None] | None,
    new_history: NewHistory = History,
    around_compute: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Session:
    place.check_tap(tap)
    watching = (*plugins().observers, *observers)
    refused = None if misfit is None else cache(misfit)  # each reason once
    exchange = Exchange(place.exchanged)

    def engine(covers_call: bool = False) -> Engine:
        # Made for each request: models may be split, or one of two exchanged, after they were accelerated.
        exchange.check()
        vote = agree or agreement(place.models.values())
        return Engine(source, place.kind, Tap(tap), watching, new_history, vote, place.look, covers_call)

    def request(owner: Pipeline | None, covers_call: bool) -> tuple[Engine, Locator]:
        grid = place.fixed or SchedulerGrid(owner or place.target, is_one_call=covers_call)
        return engine(covers_call), Tracker(grid, refused)

    inner = quiet = source
    if isinstance(source, WhereItFits):
        inner = source.source
        quiet = WhereItFits(inner)  # a plan tells nobody that a run does not fit
    models = () if place.bare else place.models.values()
    # Who serves reads a log, which should not wait for the next request.
    at_once = misfit is not None
    requests = Requests(request, models, at_once=at_once) if host is None else HostedRequests(engine)
    attachments = [
        Attachment(
            place.called(name),
            match.adapter,
            Tap(tap),
            requests,
            around_compute,
            place.name_of(name),
            match.verified,
            host,
            refused,
        )
        for name, match in place.found.items()
    ]
    return Session(
        requests,
        *attachments,
        exchange=exchange,
        plan=partial(foresee, place, quiet, Tap(tap)),
        what=described(place.models, tap, inner),
    )
