"""Thresholds for the search."""

from __future__ import annotations

#: Over four powers of ten, neighbouring thresholds differ by 16 %, and bisection needs six runs.
_COUNT = 64


def rising(low: float, high: float, count: int = _COUNT) -> list[float]:
    """`count` thresholds with equal ratios, to four significant digits."""
    return [float(f"{low * (high / low) ** (index / (count - 1)):.4g}") for index in range(count)]
