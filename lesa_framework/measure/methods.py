"""What a comparison runs, checked before anything heavy starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lesa_framework.api import build_strategy
from lesa_framework.backbones import find_adapter
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError, LesaError, UnsupportedBackboneError
from lesa_framework.generation import GenerationSettings, sampler_grid
from lesa_framework.measure.rows import UNCACHED, fewer_steps_name
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.runtime.engine import Strategy, plan
from lesa_framework.types import Reason, RunInfo


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


def build_strategies(configs: Sequence[LesaConfig]) -> dict[str, Strategy]:
    """Build every configuration; weights are read here, before any model is loaded.

    Raises:
        LesaError: A configuration cannot be built, or two have the same name.
    """
    for name, count in Counter(config.name for config in configs).items():
        if count > 1:
            raise ConfigError(
                f"configs: {count} of them are called '{name}'. Rename the files: rows go by their names."
            )
        if name == UNCACHED or name.startswith(fewer_steps_name(0)[:-1]):
            raise ConfigError(f"configs: '{name}' is the name of a row of its own. Rename the file.")
    strategies = {}
    for config in configs:
        with naming(config.name):
            strategies[config.name] = build_strategy(config)
    return strategies


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


def run_info(pipe: CallablePipeline, config: LesaConfig, grid: tuple[float, ...]) -> RunInfo:
    """What a run of the configuration will be.

    Raises:
        UnsupportedBackboneError: No adapter fits, or it has no such tap.
    """
    kind, adapter = find_adapter(pipe.transformer, config.backbone)
    if config.backbone.tap not in adapter.taps:
        raise UnsupportedBackboneError(
            f"backbone.tap: '{config.backbone.tap}' does not work on {type(pipe.transformer).__name__}. "
            f"Valid: {', '.join(adapter.taps)}."
        )
    return RunInfo(grid, kind, config.backbone.tap)


def planned_nfe(strategy: Strategy, run: RunInfo) -> int:
    """How many steps a run will compute.

    Raises:
        LesaError: The schedule or the predictor cannot serve the run.
    """
    check_length(strategy, run.sigmas)
    strategy.predictor.check(run)
    return sum(reason is not Reason.PREDICTED for _, reason in plan(strategy, run.sigmas))


def check_length(strategy: Strategy, sigmas: Sequence[float]) -> None:
    """Refuse runs that end before the history is long enough to predict anything.

    Raises:
        ConfigError: There are too few steps.
    """
    steps = len(sigmas) - 1
    strategy.schedule.check(steps)
    needed = min(strategy.predictor.min_history(stage) for stage in range(strategy.router.num_stages))
    if steps <= needed:
        raise ConfigError(
            f"--steps {steps}: the predictor needs {needed} features in its history before it predicts, "
            f"so nothing would be predicted. Run at least {needed + 1} steps."
        )


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Let errors begin with the configuration that they are about."""
    try:
        yield
    except LesaError as error:
        raise type(error)(f"{name}: {error}") from error
