"""For plugins of programs that serve models: a cache from the program's options; what it cannot serve is computed.

The program loads the pipeline, batches requests and calls it. A plugin reads the options, and calls `serve` with
what was loaded. All that differs from one request to the next is found at its calls: see the guarantees.
"""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from lesa_framework.api import accelerate
from lesa_framework.automatic.shelf import find_weights
from lesa_framework.automatic.watcher import why_computed
from lesa_framework.building import build_strategy
from lesa_framework.config.loading import load_config
from lesa_framework.errors import ConfigError, LesaWarning, did_you_mean, shown
from lesa_framework.files import expanded, is_folder
from lesa_framework.interfaces.observer import Observer
from lesa_framework.place import TRANSFORMERS, Pipeline
from lesa_framework.report import RunReport
from lesa_framework.session import Session

__all__ = [
    "Served",
    "ServingOptions",
    "models_of",
    "options_from_environment",
    "options_from_mapping",
    "serve",
    "variables_are_set",
]

_LOG = logging.getLogger("lesa_framework.serving")
#: What two messages of one reason may differ in, such as their numbers of steps.
_NOT_LETTERS = re.compile(r"[^a-z]+", re.IGNORECASE)
#: Environment variable -> option. `LESA_WEIGHTS` is read for every speed-up, wherever that comes from.
_VARIABLES = {"LESA_CONFIG": "config", "LESA_SPEEDUP": "speedup"}


@dataclass(frozen=True)
class ServingOptions:
    """What a server was asked to accelerate with.

    Attributes:
        config: A YAML file, a preset's name, a safetensors file of weights, or a mapping.
        speedup: Instead of it: steps of a run over computed steps.
        weights: With a speed-up: the folder of your weights.
    """

    config: str | Mapping[str, Any] | None = None
    speedup: float | None = None
    weights: str | None = None


def options_from_mapping(given: Mapping[str, object], where: str) -> ServingOptions:
    """Read a server's options.

    Args:
        given: `config`, `speedup` and `weights`; nothing for a speed-up of 5.
        where: What the options are called there, for messages.

    Raises:
        ConfigError: A key is unknown, a value is of the wrong sort, the two ways are both given, or the configuration
            is not valid.
        ArtifactError: Its weights cannot be read.
    """
    known = tuple(ServingOptions.__dataclass_fields__)
    for key in given:
        if key not in known:
            raise ConfigError(f"{where}.{key}: unknown key. Known: {', '.join(known)}.{did_you_mean(key, known)}")
    config, weights = given.get("config"), given.get("weights")
    if config is not None and not isinstance(config, str | Mapping):
        raise ConfigError(
            f"{where}.config: {shown(config)} is not a configuration. Give a YAML file, a preset's name, a safetensors "
            "file of weights, or a mapping with the sections of a configuration."
        )
    if weights is not None and not isinstance(weights, str):
        raise ConfigError(f"{where}.weights: {shown(weights)} is not a folder. Give its path.")
    speedup = _speedup(given.get("speedup"), f"{where}.speedup")
    for name, value in (("speedup", speedup), ("weights", weights)):
        if config is not None and value is not None:
            raise ConfigError(f"{where}: got a configuration and {name}, which is for runs without one. Give one.")
    if weights is not None and not (weights and is_folder(expanded(weights))):
        raise ConfigError(f"{where}.weights: the folder '{weights}' does not exist. Make it, or name another one.")
    if config is not None:
        build_strategy(load_config(config))  # a server should not find out at its first request
    return ServingOptions(config, speedup, weights)


def variables_are_set() -> bool:
    """Whether `LESA_CONFIG` or `LESA_SPEEDUP` is set, to whatever it is."""
    return any(os.environ.get(name) for name in _VARIABLES)


def options_from_environment() -> ServingOptions | None:
    """Read `LESA_CONFIG` or `LESA_SPEEDUP`; None if neither is set.

    Raises:
        ConfigError: A value is not valid, or both are set.
        ArtifactError: The weights cannot be read.
    """
    given = {option: os.environ[name] for name, option in _VARIABLES.items() if os.environ.get(name)}
    if not given:
        return None
    if len(given) > 1:
        raise ConfigError("LESA_CONFIG and LESA_SPEEDUP are both set. Unset one of them.")
    speedup = _speedup(given.get("speedup"), "LESA_SPEEDUP")
    if speedup is not None:
        find_weights()  # refuses what `LESA_WEIGHTS` names, if it is no folder
        return ServingOptions(speedup=speedup)
    return options_from_mapping(given, "LESA")


def serve(target: Pipeline | nn.Module, options: ServingOptions) -> Session:
    """Accelerate what a server loaded.

    A run that the configuration is not for, such as a warm-up of one step, is computed, and the log says why. So is
    one whose sampler shows no noise levels, and a call that the adapter refuses, such as one with reference images.
    What fails, at its first request, is a model that its adapter does not fit. Each run's share of computed steps is
    logged at level INFO when the call of the pipeline has ended; a refused call is in no run. The logger is
    `lesa_framework.serving`.

    Args:
        target: A pipeline: any object with a `transformer` and a `scheduler` whose methods call it.
        options: What it was asked to accelerate with.

    Returns:
        The session. Keep it; `detach` ends it.

    Raises:
        ConfigError: The options do not fit this machine.
        ArtifactError: The weights cannot be used.
        UnsupportedBackboneError: No adapter fits the transformer.
    """
    log = _Log()
    if options.config is None:
        session = accelerate(
            target, speedup=options.speedup, weights=options.weights, observers=(log,), misfit=log.computed
        )
    else:
        session = accelerate(target, options.config, observers=(log,), misfit=log.computed)
    _LOG.info("lesa: %r", session)
    return session


@dataclass(frozen=True)
class Served:
    """A pipeline and its session, for servers that may load or exchange transformers later.

    Attributes:
        target: The pipeline.
        session: Its session.
        models: Its transformers when the session was made.
    """

    target: Pipeline
    session: Session
    models: tuple[nn.Module, ...]

    @classmethod
    def begin(cls, target: Pipeline, options: ServingOptions) -> Served:
        """Accelerate a pipeline; see [`serve`][lesa_framework.serving.serve]."""
        return cls(target, serve(target, options), models_of(target))

    def is_still_in(self, pipeline: Pipeline) -> bool:
        """Whether a pipeline has these very transformers now."""
        now = models_of(pipeline)
        return len(now) == len(self.models) and all(a is b for a, b in zip(now, self.models, strict=True))

    def end(self) -> None:
        """Detach the session, without the warning that a transformer was exchanged."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LesaWarning)
            self.session.detach()


def models_of(target: Pipeline) -> tuple[nn.Module, ...]:
    """A pipeline's transformers as it holds them, compiled or not."""
    held = (getattr(target, name, None) for name in TRANSFORMERS)
    return tuple(model for model in held if model is not None)


class _Log(Observer):
    """Says of each run what was computed, and once for each reason why all of it was."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def computed(self, message: str) -> None:
        """Say why something is computed."""
        reason = _NOT_LETTERS.sub(" ", message).strip()
        if reason not in self._told:
            self._told.add(reason)
            _LOG.warning(message)

    def lesa_run_end(self, report: RunReport) -> None:
        choice = "" if report.choice is None else f" {report.choice}."
        _LOG.info("lesa: %d of %d steps computed.%s", report.nfe, report.num_steps, choice)
        # Where no grid is known, the log has it already; a run that broke off may not have come to a predicted step.
        if 0 < report.info.steps_to_run <= report.num_steps == report.nfe:
            # In the words of `WhereItFits`, which has told of the runs that it refused.
            why = why_computed(report)
            self.computed(f"a run of {report.num_steps} steps is computed, every step of it: {why}.")


def _speedup(given: object, where: str) -> float | None:
    if given is None:
        return None
    text = str(given).removesuffix("x") if isinstance(given, str | int | float) and given is not True else ""
    try:
        speedup = float(text)
    except ValueError:
        speedup = math.nan
    if not 1 < speedup < math.inf:
        raise ConfigError(f"{where}: {shown(given)} is not a number above 1. With 5, one step in five is computed.")
    return speedup
