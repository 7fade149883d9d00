"""Candidates: which steps to start from, and which are near."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from itertools import combinations, pairwise
from typing import TypeAlias

#: The computed steps of a run, rising; step 0 is always one.
Steps: TypeAlias = tuple[int, ...]

#: How far one computed step is moved.
_SHIFTS = (1, -1, 2, -2, 4, -4)
#: Exponents of the spacings `T (k / n) ** p`: below 1 steps are denser late, above 1 early.
_POWERS = (0.85, 1.2, 1.45)


def starts(nfe: int, sigmas: Sequence[float], fixed: Collection[int]) -> list[Steps]:
    """Where a search begins, each once; the first is the even spacing.

    Args:
        nfe: Steps to compute.
        sigmas: The grid, the final 0 included.
        fixed: Steps that must be computed.
    """
    total = len(sigmas) - 1
    shares = [k / nfe for k in range(nfe)]
    even = [k * total // nfe for k in range(nfe)]
    levels = [sigmas[0] + share * (sigmas[-1] - sigmas[0]) for share in shares]
    in_sigma = [_nearest(sigmas[:-1], level) for level in levels]
    powers = [[int(total * share**power) for share in shares] for power in _POWERS]
    warm = [0, 1, 2, *(2 + (k + 1) * (total - 2) // max(1, nfe - 2) for k in range(nfe - 3))]
    found = [repaired(steps, nfe, total, fixed) for steps in (even, in_sigma, *powers, warm)]
    return list(dict.fromkeys(found))


def repaired(steps: Collection[int], nfe: int, total: int, fixed: Collection[int]) -> Steps:
    """The nearest valid candidate: fixed steps added, crowded ones removed, wide gaps filled."""
    kept = {step for step in steps if 0 <= step < total} | {0, *fixed}
    while len(kept) > nfe:
        free = sorted(kept - {0, *fixed})
        kept.remove(min(free, key=lambda step: _room(kept, step, total)))
    while len(kept) < nfe:
        kept.add(_widest(kept, total))
    return tuple(sorted(kept))


def neighbours(steps: Steps, total: int, fixed: Collection[int]) -> list[Steps]:
    """One computed step moved by 1, 2 or 4, or taken away and put into the widest gap."""
    free = [step for step in steps if step and step not in fixed]
    found = [moved(steps, step, step + shift, total) for step in free for shift in _SHIFTS]
    for step in free:
        rest = set(steps) - {step}
        found.append(tuple(sorted({*rest, _widest(rest, total)})))
    return [each for each in dict.fromkeys(found) if each is not None and each != steps]


def moved(steps: Steps, step: int, to: int, total: int) -> Steps | None:
    """The candidate with one step moved; None where it cannot go."""
    if not 0 < to < total or to in steps:
        return None
    return tuple(sorted({*steps, to} - {step}))


def nearby(steps: Steps, total: int, fixed: Collection[int], draws: int, seed: str) -> list[Steps]:
    """Every neighbour, and some candidates that are two moves away."""
    draw, near = random.Random(seed), neighbours(steps, total, fixed)
    further = [neighbours(draw.choice(near), total, fixed) for _ in range(draws)] if near else []
    return list(dict.fromkeys([*near, *(draw.choice(each) for each in further if each)]))


def every(nfe: int, total: int, fixed: Collection[int]) -> Iterator[Steps]:
    """Every candidate there is, one after another: there may be far too many to list."""
    must = {0, *fixed}
    free = [step for step in range(total) if step not in must]
    return (tuple(sorted({*must, *chosen})) for chosen in combinations(free, nfe - len(must)))


def _nearest(sigmas: Sequence[float], level: float) -> int:
    return min(range(len(sigmas)), key=lambda step: abs(sigmas[step] - level))


def _widest(steps: Collection[int], total: int) -> int:
    """The middle of the widest gap; the end of the run closes the last one."""
    gaps = list(pairwise([*sorted(steps), total]))
    left, right = max(gaps, key=lambda gap: gap[1] - gap[0])
    return (left + right) // 2


def _room(steps: Collection[int], step: int, total: int) -> int:
    ordered = [*sorted(steps), total]
    place = ordered.index(step)
    return ordered[place + 1] - ordered[place - 1]
