"""Puts together what automatic mode chooses from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lesa_framework.automatic.budget import Budget
from lesa_framework.automatic.chooser import Chooser
from lesa_framework.automatic.shelf import find_weights
from lesa_framework.building import build_strategy
from lesa_framework.config.loading import load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.plugin.manager import plugins


def prepare(
    speedup: float, weights: str | Path | None = None, backbone: Mapping[str, Any] | None = None
) -> tuple[Chooser, LesaConfig]:
    """What chooses the cache of each run, and the configuration of the cache without weights.

    Args:
        speedup: Steps of a run over computed steps.
        weights: A folder with weights; see [`accelerate`][lesa_framework.accelerate].
        backbone: A configuration's `backbone` section.

    Raises:
        ConfigError: The speed-up is not above 1, the folder does not exist, or a plugin is not installed.
    """
    budget = Budget(speedup)
    config = _without_weights(budget, backbone or {})
    return Chooser(budget, find_weights(weights), config, build_strategy(config)), config


def _without_weights(budget: Budget, backbone: Mapping[str, Any]) -> LesaConfig:
    """A straight line over evenly spread computed steps.

    On even steps it is the closest of our caches that need no weights, or within 0.5 dB of the closest, on the three
    bundled models, see docs/reference/fitted.md; and it keeps only two features.
    """
    registry = plugins().registry
    missing = [
        f"the {section} '{kind}'"
        for section, kind, known in (
            ("schedule", "even", registry.schedules.names()),
            ("predictor", "taylorseer", registry.predictors.names()),
        )
        if kind not in known
    ]
    if missing:
        raise ConfigError(
            f"speedup: needs {' and '.join(missing)}, which no installed plugin brings. Reinstall lesa-framework, or "
            "give a configuration; `lesa plugins` lists what is installed."
        )
    return load_config(
        {
            "schedule": {"kind": "even", "speedup": budget.speedup},
            "predictor": {"kind": "taylorseer", "order": 1},
            "backbone": backbone,
        }
    )
