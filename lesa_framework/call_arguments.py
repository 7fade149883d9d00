"""What a pipeline is called with, for several prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def expanded_call(call: Mapping[str, Any], count: int) -> dict[str, Any]:
    """A pipeline's arguments for `count` prompts: it needs as many second and negative prompts."""
    return {
        key: [value] * count if key.startswith(("prompt_", "negative_prompt")) and isinstance(value, str) else value
        for key, value in call.items()
    }
