"""Numbers in words."""

from __future__ import annotations


def amount(count: int, noun: str) -> str:
    """A number of things: `1 prompt`, `2 prompts`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def steps(value: float) -> str:
    """A number of steps, whole or with one decimal."""
    return f"{value:.1f}".removesuffix(".0")
