"""Checks configurations against a model and its noise levels before anything heavy starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lesa_framework.api import Pipeline, build_strategy
from lesa_framework.backbones import find_adapter
from lesa_framework.config.schema import LesaConfig
from lesa_framework.devices import check_place
from lesa_framework.errors import ConfigError, LesaError, UnsupportedBackboneError
from lesa_framework.measure.results import UNCACHED, fewer_steps_name
from lesa_framework.runtime.strategy import Strategy, count_computed, plan
from lesa_framework.types import RunInfo


def build_strategies(configs: Sequence[LesaConfig]) -> dict[str, Strategy]:
    """Build every configuration; weights are read here, before any model is loaded.

    Raises:
        LesaError: A configuration cannot be built, or two have the same name.
    """
    for name, count in Counter(config.name for config in configs).items():
        if count > 1:
            raise ConfigError(f"configs: {count} of them are called '{name}'. Rename the files: each names its row.")
        if name == UNCACHED or name.startswith(fewer_steps_name(0)[:-1]):
            raise ConfigError(f"configs: '{name}' is the name of a row of its own. Rename the file.")
    strategies = {}
    for config in configs:
        with naming(config.name):
            strategies[config.name] = strategy = build_strategy(config)
            check_place(strategy.history)
    return strategies


def run_info(pipe: Pipeline, config: LesaConfig, grid: tuple[float, ...]) -> RunInfo:
    """The run that the configuration will make.

    Raises:
        UnsupportedBackboneError: No adapter fits, or it does not have the tap.
    """
    match = find_adapter(pipe.transformer, config.backbone)
    if config.backbone.tap not in match.adapter.taps:
        raise UnsupportedBackboneError(
            f"backbone.tap: '{config.backbone.tap}' does not work on {type(pipe.transformer).__name__}. "
            f"Valid: {', '.join(match.adapter.taps)}."
        )
    return RunInfo(grid, match.kind, config.backbone.tap)


def planned_nfe(strategy: Strategy, run: RunInfo) -> int | None:
    """How many steps a run will compute; None when that depends on data.

    Raises:
        LesaError: The schedule or the predictor does not fit the run.
    """
    check_length(strategy, run.sigmas)
    strategy.predictor.check(run)
    return count_computed([reason for _, reason in plan(strategy, run.sigmas)])


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
    """Let errors raised inside the context begin with the name of the configuration."""
    try:
        yield
    except LesaError as error:
        raise type(error)(f"{name}: {error}") from error
