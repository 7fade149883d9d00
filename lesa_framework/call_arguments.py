"""What a pipeline is called with, for several prompts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lesa_framework.errors import ConfigError


def check_finite(call: Mapping[str, Any]) -> None:
    """Refuse numbers that are NaN or infinite, in lists too: a guidance of NaN turns guidance off without a word.

    Raises:
        ConfigError: One is.
    """
    for key, given in call.items():
        for value in given if isinstance(given, list) else [given]:
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{key}: {value} is not a finite number. Give one, or leave it out.")


def expanded_call(call: Mapping[str, Any], count: int) -> dict[str, Any]:
    """A pipeline's arguments for `count` prompts: it needs as many second and negative prompts."""
    return {
        key: [value] * count if key.startswith(("prompt_", "negative_prompt")) and isinstance(value, str) else value
        for key, value in call.items()
    }
