"""From a configuration to the objects that it asks for."""

from __future__ import annotations

from lesa_framework.config.schema import LesaConfig
from lesa_framework.runtime.strategy import Strategy


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
