"""A guess at candidates that were not tried, from those that were: which are worth a trial?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lesa_framework.search.candidates import Steps
from lesa_framework.search.record import Tried

#: How far apart, in steps, the ends of two intervals may be that tell about each other.
_LENGTH = 3.0
#: Variance of an interval's share of the closeness, and of what no sum over intervals explains, in dB².
_SHARE, _REST = 0.5, 0.05
#: The least variance of a measured gain: the same prompts judge all candidates, so it is never known exactly.
_LEAST = 0.01
#: Variance of a gain that was measured on one prompt alone.
_UNKNOWN = 4.0
#: A candidate further behind the first one, in dB, tells no more than that it is bad.
_LOWEST = -4.0


class Surrogate:
    """A Gaussian process over candidates, each the sum of its intervals between computed steps.

    Errors of separate intervals add up, at least roughly. So a candidate says something about every other one that has
    similar intervals, and few trials go a long way. Closeness is taken as the gain over the first candidate on the same
    prompts, which varies less than closeness itself.

    Args:
        tried: What was tried; the first of them was not dropped.
        total: Steps of the run.
    """

    def __init__(self, tried: Sequence[Tried], total: int) -> None:
        self._total = total
        steps = np.arange(total + 1, dtype=np.float64)
        self._near = np.exp(-((steps[:, None] - steps) ** 2) / (2 * _LENGTH**2))
        self._known = self._intervals([each.steps for each in tried])
        gains = [np.subtract(each.db, tried[0].db[: len(each.db)]) for each in tried]
        means = np.array([max(float(gain.mean()), _LOWEST) for gain in gains])
        noise = [float(gain.var(ddof=1)) / len(gain) if len(gain) > 1 else _UNKNOWN for gain in gains]
        own = self._covariance(self._known, self._known)
        self._factor = np.linalg.cholesky(own + np.diag(np.maximum(noise, _LEAST) + _REST))
        self._weights = np.linalg.solve(self._factor.T, np.linalg.solve(self._factor, means))

    def expect(self, candidates: Sequence[Steps]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Expected gain over the first candidate and its standard deviation, in dB, for each candidate."""
        intervals = self._intervals(candidates)
        shared = self._covariance(intervals, self._known)
        explained = (np.linalg.solve(self._factor, shared.T) ** 2).sum(0)
        own = np.array([self._covariance(each[None], each[None])[0, 0] for each in intervals])
        return shared @ self._weights, np.sqrt(np.maximum(own - explained, 0.0))

    def _covariance(self, one: NDArray[np.int_], other: NDArray[np.int_]) -> NDArray[np.float64]:
        """Of the sums over intervals: (candidates of one, candidates of the other).

        Two intervals tell about each other as much as their beginnings do, times as much as their ends do. So what a
        candidate tells about each interval that there may be is a product of two matrices, to be looked up.
        """
        found = []
        for begins, ends in one.swapaxes(1, 2):
            told = self._near[:, begins] @ self._near[ends]
            found.append(told[other[..., 0], other[..., 1]].sum(-1))
        return _SHARE * np.array(found)

    def _intervals(self, candidates: Sequence[Steps]) -> NDArray[np.int_]:
        """Both ends of each interval: (candidates, intervals, 2)."""
        return np.array([list(pairwise((*steps, self._total))) for steps in candidates])
