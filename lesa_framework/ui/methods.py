"""The methods that a model can be run with: automatic, presets that fit, and predictors that need no training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lesa_framework.config.loading import load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError, LesaError, LesaWarning
from lesa_framework.generation import GenerationSettings, sampler_grid
from lesa_framework.measure.lineup import caches, planned_steps, run_info
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.place import place_of
from lesa_framework.plugin.manager import plugins
from lesa_framework.plugin.registry import AUTO
from lesa_framework.ui.asked import AUTOMATIC

_PRESET, _EVEN = "preset:", "even:"


@dataclass(frozen=True)
class Method:
    """A method that the page offers.

    Attributes:
        value: What stands for it.
        label: What people read.
    """

    value: str
    label: str


#: What is always offered.
CHOOSES: Final = Method(AUTOMATIC, "Automatic: what fits best")


def offered(pipe: CallablePipeline, model: str, settings: GenerationSettings) -> tuple[Method, ...]:
    """The methods that a run can have, the automatic choice first.

    Args:
        pipe: The model's pipeline; its transformer is not run.
        model: The model's name.
        settings: How the pipeline will be called.

    Raises:
        LesaError: It is not a pipeline that can be cached.
    """
    grid = sampler_grid(pipe, settings)
    return (CHOOSES, *_presets(pipe, model, grid), *_free())


def is_bound(value: str) -> bool:
    """Whether a method has steps of its own, so that the speed-up does not matter."""
    return value.startswith(_PRESET)


def config_of(value: str, speedup: float) -> LesaConfig | None:
    """The configuration of a method; None for the automatic choice.

    Raises:
        ConfigError: There is no such method, or the speed-up does not suit it.
    """
    if value == AUTOMATIC:
        return None
    if is_bound(value):
        return load_config(value.removeprefix(_PRESET))
    kind = value.removeprefix(_EVEN)
    if kind == value or kind not in plugins().registry.ready_predictors():
        raise ConfigError(f"Method: '{value}' is none of those in the list.")
    return load_config({"schedule": {"kind": "even", "speedup": speedup}, "predictor": {"kind": kind}})


def _presets(pipe: CallablePipeline, model: str, grid: tuple[float, ...]) -> Iterator[Method]:
    """Those that were made for this model, or for any of its kind, and have nothing to object to the run."""
    kind = place_of(pipe, None, AUTO).kind
    for name in plugins().registry.presets.names():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", LesaWarning)
                config = load_config(name)
                if config.training.model not in {None, model} or config.backbone.kind not in {AUTO, kind}:
                    continue
                (method,) = caches([(config, "")], len(grid) - 1)
                assert method.strategy is not None
                steps = planned_steps(method.strategy, run_info(pipe, method.backbone, grid))
        except (LesaError, LesaWarning):
            continue
        count = "steps by the data" if steps is None else f"{len(steps)}/{len(grid) - 1} steps"
        yield Method(f"{_PRESET}{name}", f"{name}: {config.predictor.kind}, {count}")


def _free() -> list[Method]:
    kinds = plugins().registry.ready_predictors()
    return [Method(f"{_EVEN}{kind}", f"{kind}: no weights, evenly spread steps") for kind in kinds]
