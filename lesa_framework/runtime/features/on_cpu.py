"""Weighted sums on a CPU: small ones at once, large ones in one pass or, where torch has none, a part at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lesa_framework.runtime.features.bags import weigh_in_bags
from lesa_framework.runtime.features.weighing import Count, Instead, Terms, add_up, replaced, weigh_plainly

#: Values that a CPU adds up at a time: few enough for its cache, and enough to call torch seldom.
CHUNK = 262_144


def weigh_on_cpu(terms: Terms, instead: Instead = None) -> tuple[Tensor, Count]:
    """Add up in the way that is the fastest.

    Args:
        terms: What; on the CPU, with at least one feature. No gradients are asked for.
        instead: Look for values that are not finite, and take these.

    Returns:
        A fresh tensor, and how many values were replaced.
    """
    if terms.shape.numel() <= CHUNK and terms.is_wide:
        return _at_once(terms, instead)
    if terms.axes > 1:
        return weigh_plainly(terms, instead)
    made = weigh_in_bags(terms)
    if made is None:
        return _in_chunks(terms, instead)
    return (made, 0) if instead is None or _seems_finite(made) else replaced(made, instead)


def _seems_finite(values: Tensor) -> bool:
    """Whether all values are finite; in one pass, without memory. May be wrong about values that are huge."""
    # A sum is the fastest, and is made in float32. In float16 the result alone would overflow with what is common.
    if values.dtype is torch.float16:
        return all(map(math.isfinite, torch.aminmax(values)))
    return math.isfinite(values.sum())


def _at_once(terms: Terms, instead: Instead) -> tuple[Tensor, Count]:
    """Add up what fits into a CPU's cache: as few calls as there are terms, because they take longer than the sums."""
    total = torch.mul(terms.features[0], terms.weights[0])
    add_up(total, terms.features[1:], terms.weights[1:], terms.bias)
    if instead is None or _seems_finite(total):
        return total, 0
    return replaced(total, instead)


def _in_chunks(terms: Terms, instead: Instead) -> tuple[Tensor, Count]:
    """Add up a part at a time, so that the sum stays in a CPU's cache until it is rounded and written."""
    made = torch.empty(terms.shape, dtype=terms.dtype, device=terms.device)  # a program may have set another default
    if not made.numel():
        return made, 0
    columns = terms.shape[-1:] if terms.axes else ()
    lines = [feature.reshape(-1, *columns) for feature in terms.features]
    out, step = made.view(-1, *columns), max(CHUNK // math.prod(columns), 1)
    add = _Adding(terms, out[:step])
    finite = True
    for start in range(0, len(out), step):
        target = out[start : start + step]
        add([line[start : start + step] for line in lines], target)
        if instead is not None:
            finite = finite and _seems_finite(target)
    return (made, 0) if instead is None or finite else replaced(made, instead)


class _Adding:
    """Adds up parts, in memory of its own where the result has fewer bits than the sum."""

    def __init__(self, terms: Terms, part: Tensor) -> None:
        self._weights, self._bias = terms.weights, terms.bias
        self._is_direct = terms.is_wide
        if not self._is_direct:
            self._total, self._wide = (torch.empty_like(part, dtype=terms.wide) for _ in range(2))

    def __call__(self, parts: list[Tensor], target: Tensor) -> None:
        total = target if self._is_direct else self._total[: len(target)]
        first, weight = parts[0], self._weights[0]
        if self._is_direct:
            torch.mul(first, weight, out=total)
        else:
            total.copy_(first).mul_(weight)
        # One after the other: they share the memory in which they are made wide.
        exact = (part if self._is_direct else self._wide[: len(part)].copy_(part) for part in parts[1:])
        add_up(total, exact, self._weights[1:], self._bias)
        if not self._is_direct:
            target.copy_(total)
