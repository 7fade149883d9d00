"""What `compare` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lesa_framework.config.schema import LesaConfig
from lesa_framework.generation import GenerationSettings, sampler_grid
from lesa_framework.measure.planning import naming, planned_nfe, run_info
from lesa_framework.measure.results import UNCACHED, fewer_steps_name
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.runtime.engine import Strategy


@dataclass(frozen=True)
class Method:
    """One row of a comparison.

    Attributes:
        name: The row's name.
        num_steps: Steps of the sampler.
        nfe: Steps that will be computed, as planned.
        config: The cache's configuration; None for plain runs.
        strategy: What it builds; None for plain runs.
    """

    name: str
    num_steps: int
    nfe: int
    config: LesaConfig | None = None
    strategy: Strategy | None = None


def uncached(num_steps: int) -> Method:
    """The run that everything is measured against."""
    return Method(UNCACHED, num_steps, num_steps)


def fewer_steps(num_steps: int) -> Method:
    """A plain run with fewer steps."""
    return Method(fewer_steps_name(num_steps), num_steps, num_steps)


def cached_methods(
    pipe: CallablePipeline,
    configs: Sequence[LesaConfig],
    strategies: Mapping[str, Strategy],
    settings: GenerationSettings,
) -> list[Method]:
    """Check every configuration against the pipeline and its noise levels; nothing is generated.

    Raises:
        LesaError: A configuration does not fit; the message begins with its name.
    """
    grid = sampler_grid(pipe, settings)
    methods = []
    for config in configs:
        with naming(config.name):
            strategy = strategies[config.name]
            nfe = planned_nfe(strategy, run_info(pipe, config, grid))
            methods.append(Method(config.name, settings.num_steps, nfe, config, strategy))
    return methods
