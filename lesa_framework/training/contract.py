"""What a fit hands over, checked before anything is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import UnionType
from typing import Any

from torch import Tensor

from lesa_framework.errors import PluginContractError
from lesa_framework.extras import check_installed
from lesa_framework.interfaces.fit import Fit
from lesa_framework.interfaces.predictor import PredictorConfig


def check_reads_weights(config: PredictorConfig) -> None:
    """Refuse a fitted predictor that has no place for what its fit finds.

    Raises:
        PluginContractError: The configuration has no field `weights`.
    """
    if "weights" not in type(config).model_fields:
        raise PluginContractError(
            f"predictor.kind: '{config.kind}' has a fit, but its {type(config).__name__} has no field for the weights "
            "file, so nothing would use the result. Add `weights: ConfigPath | None = None`, and read it in `build`."
        )


def check_fit_needs(config: PredictorConfig) -> None:
    """Refuse a fit whose modules are not installed, before a model is loaded.

    Raises:
        ConfigError: Some are not; the message says how to install them.
    """
    check_installed(f"predictor.kind: fitting '{config.kind}'", config.fit_needs, extra=None)


def fitted_tensors(fit: Fit) -> dict[str, Tensor]:
    """What the artifact will hold.

    Raises:
        PluginContractError: It is not a mapping of names to tensors.
    """
    given: Any = fit.tensors()
    if not isinstance(given, Mapping):
        found = f"a {type(given).__name__}"
    else:
        wrong = [key for key, value in given.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
        if not wrong:
            return dict(given)
        found = f"{type(given[wrong[0]]).__name__} under {wrong[0]!r}"
    raise PluginContractError(
        f"{type(fit).__name__}.tensors(): returned {found}; a dict of names to torch.Tensor is needed. "
        "Nothing was written."
    )


def check_json(fit: Fit, name: str, value: Any, wanted: type | UnionType) -> None:
    """Refuse a value that a JSON file cannot hold.

    Args:
        fit: Whose value it is.
        name: The attribute or method that gave it, for messages.
        value: The value.
        wanted: The type that it must have.

    Raises:
        PluginContractError: It has another type, or is not JSON.
    """
    sort = wanted.__name__ if isinstance(wanted, type) else str(wanted)
    problem = "" if isinstance(value, wanted) else f"it is {type(value).__name__}, and not {sort}"
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        problem = problem or str(error)
    if problem:
        raise PluginContractError(
            f"{type(fit).__name__}.{name}: must be JSON values ({problem}). Give numbers, strings, lists and dicts, "
            "such as `float(loss)` for a tensor. Nothing was written."
        )
