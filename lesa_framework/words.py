"""Numbers in words."""

from __future__ import annotations

import math


def amount(count: int, noun: str) -> str:
    """A number of things: `1 prompt`, `2 prompts`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def steps(value: float) -> str:
    """A number of steps, whole or with one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def size(count: int) -> str:
    """Bytes as people say them: with three digits."""
    if count >= 1000 * 2**20:
        return f"{count / 2**30:.3g} GiB"
    return f"{count / 2**20:.3g} MiB" if count >= 2**20 / 10 else f"{math.ceil(count / 2**10)} KiB"
