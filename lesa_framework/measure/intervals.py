"""How far one method is ahead of another, and how certain that is on other prompts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from lesa_framework.measure.results import QUALITY, Difference, ModelResults, Pair, Row, ranked

_CONFIDENCE = 0.95


def differences(rows: Sequence[Row], found: ModelResults) -> list[Difference]:
    """The best method of a model at each NFE, compared with each of the others."""
    result: list[Difference | None] = []
    for nfe in sorted({row.nfe for row in rows}, reverse=True):
        rivals = ranked(rows, nfe)
        result += [compared(rivals[0], rival, found) for rival in rivals[1:]]
    return [difference for difference in result if difference is not None]


def compared(ours: Row, theirs: Row, found: ModelResults) -> Difference | None:
    """The difference of two methods' PSNR on the same prompts and seeds; None when no pair has both."""
    first, second = (found.details[row.name].scores[QUALITY] for row in (ours, theirs))
    each = zip(found.pairs, first, second, strict=True)
    gains = [(pair, a - b) for pair, a, b in each if a is not None and b is not None]
    if not gains:
        return None
    low, high = interval(gains)
    return Difference(
        model=ours.model,
        nfe=ours.nfe,
        ours=ours.name,
        theirs=theirs.name,
        mean_db=fmean(_by_prompt(gains)),
        low_db=low,
        high_db=high,
        better_share=sum(gain > 0 for _, gain in gains) / len(gains),
    )


def interval(gains: Sequence[tuple[Pair, float]]) -> tuple[float, float] | tuple[None, None]:
    """The 95 % interval of the mean gain, by Student's t over prompts.

    Seeds of one prompt are alike: each prompt counts once, with the mean over its seeds. So the interval says what to
    expect of other prompts, and more seeds do not make it narrower than the prompts allow.

    Args:
        gains: A gain in decibels for each pair.

    Returns:
        Both ends; None with fewer than two prompts.
    """
    from scipy.stats import ttest_1samp

    means = _by_prompt(gains)
    if len(means) < 2:
        return None, None
    if max(means) == min(means):
        return means[0], means[0]
    found = ttest_1samp(means, 0.0).confidence_interval(_CONFIDENCE)
    return float(found.low), float(found.high)


def _by_prompt(gains: Sequence[tuple[Pair, float]]) -> list[float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for pair, gain in gains:
        groups[pair.prompt].append(gain)
    return [fmean(group) for group in groups.values()]
