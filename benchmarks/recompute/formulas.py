"""Each method's formula, on numpy arrays: `see` is told a computed feature, `guess` predicts one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from math import factorial
from typing import Protocol, TypeAlias

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from numpy.polynomial.hermite import hermval
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


class Formula(Protocol):
    """Predicts the features of one branch; steps come in order, and each is either seen or guessed."""

    def see(self, step: int, feature: Array) -> None:
        """Remember the feature of a computed step."""

    def guess(self, step: int) -> Array:
        """Predict the feature of a step that is not computed."""


class Reuse:
    """The newest computed feature."""

    def see(self, step: int, feature: Array) -> None:  # noqa: ARG002
        self.feature = feature

    def guess(self, step: int) -> Array:  # noqa: ARG002
        return self.feature


class TaylorSeer:
    """`sum_m D_m x^m / m!`, `x` steps after the newest computed one (arXiv 2503.06923).

    `D_0` is the feature, and `D_{m+1}` how much `D_m` changed since the computed step before, divided by the steps
    between. As long as fewer features were seen, fewer derivatives are known.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        self.derivatives: list[Array] = []

    def see(self, step: int, feature: Array) -> None:
        new = [feature]
        for old in self.derivatives[: self.order]:
            new.append((new[-1] - old) / (step - self.newest))
        self.derivatives, self.newest = new, step

    def guess(self, step: int) -> Array:
        x = step - self.newest
        return sum(d * x**m / factorial(m) for m, d in enumerate(self.derivatives))


class Hermite(TaylorSeer):
    """`sum_m D_m s^m H_m(s x) / m!`, `s = 1/2` and `H_m` the physicists' Hermite polynomials (arXiv 2508.16984)."""

    def guess(self, step: int) -> Array:
        x = (step - self.newest) / 2
        return sum(d * hermval(x, [0] * m + [1]) / 2**m / factorial(m) for m, d in enumerate(self.derivatives))


class Spectrum:
    """Chebyshev polynomials of degree 0 to 4, fitted by ridge regression to all computed features (arXiv 2603.01623).

    Args:
        mix: The fit's part; the rest is the line through the two newest features.
        steps: Of the run, which the polynomials' -1 to 1 stand for.
    """

    def __init__(self, mix: float, steps: int) -> None:
        self.mix, self.steps = mix, steps
        self.seen: list[tuple[int, Array]] = []

    def see(self, step: int, feature: Array) -> None:
        self.seen.append((step, feature))

    def guess(self, step: int) -> Array:
        known = chebvander([2 * at / self.steps - 1 for at, _ in self.seen], 4)
        targets = np.einsum("kd,k...->d...", known, np.stack([feature for _, feature in self.seen]))
        fitted = np.einsum("de,e...->d...", np.linalg.inv(known.T @ known + 0.1 * np.eye(5)), targets)
        curve = np.einsum("d,d...->...", chebvander([2 * step / self.steps - 1], 4)[0], fitted)
        at, line = self.seen[-1]
        if len(self.seen) > 1:
            before, older = self.seen[-2]
            line = line + (step - at) / (at - before) * (line - older)
        return self.mix * curve + (1 - self.mix) * line


class Polynomial:
    """The polynomial through the newest computed features over the noise level, at a step or as its mean over it.

    Args:
        order: Its degree, where as many features were seen.
        sigmas: Of all steps, the final 0 included.
        mean: Over the step, by Gauss and Legendre's rule (Adams and Bashforth); else the value at its beginning.
    """

    def __init__(self, order: int, sigmas: Array, *, mean: bool) -> None:
        self.order, self.sigmas = order, sigmas
        nodes, weights = leggauss(4)
        self.rule = ((nodes + 1) / 2, weights / 2) if mean else (np.zeros(1), np.ones(1))
        self.seen: list[tuple[float, Array]] = []

    def see(self, step: int, feature: Array) -> None:
        self.seen = [(float(self.sigmas[step]), feature), *self.seen[: self.order]]

    def guess(self, step: int) -> Array:
        found = np.zeros_like(self.seen[0][1])
        for share, weight in zip(*self.rule, strict=True):
            level = (1 - share) * self.sigmas[step] + share * self.sigmas[step + 1]
            for node, feature in self.seen:
                others = [other for other, _ in self.seen if other != node]
                found += weight * np.prod([(level - other) / (node - other) for other in others]) * feature
        return found


class FoCa:
    """`f_i = f_{i-1} + (d_c + b_i - f_{i-1}) / 2`, `b_i = 4/3 f_{i-1} - 1/3 f_{i-2} + 2/3 d_{i-1}` (arXiv 2508.16211).

    `d` is the slope of a step: of a computed one, that from the computed step before; of another, that from the step
    before. `d_c` is that of the newest computed step.
    """

    def __init__(self) -> None:
        self.newest: tuple[int, Array] | None = None

    def see(self, step: int, feature: Array) -> None:
        if self.newest is None:
            self.latest, self.slope = feature, np.zeros_like(feature)
        else:
            self.slope = (feature - self.newest[1]) / (step - self.newest[0])
        self.computed_slope = self.slope
        self.before, self.latest = self.latest, feature
        self.newest = step, feature

    def guess(self, step: int) -> Array:  # noqa: ARG002 - one step after the other
        forecast = (4 * self.latest - self.before + 2 * self.slope) / 3
        self.slope = (self.computed_slope + forecast - self.latest) / 2
        self.before, self.latest = self.latest, self.latest + self.slope
        return self.latest


class Fitted:
    """`sum_k w_ik h_k` over the computed features, the newest first: a row of weights for each step.

    Args:
        weights: Shape (T, K).
    """

    def __init__(self, weights: Array) -> None:
        self.weights = weights
        self.features: list[Array] = []

    def see(self, step: int, feature: Array) -> None:  # noqa: ARG002
        self.features.insert(0, feature)

    def guess(self, step: int) -> Array:
        return sum(w * h for w, h in zip(self.weights[step], self.features, strict=False))


class Lesa:
    """`h_{i-1} + a_s(d_i) (sum_k w_{s,k} h_{i-k} + b_s)` (arXiv 2602.20497), on its own predictions too.

    Args:
        gains: `a_s(d_i)`, shape (stages, T).
        taps: `w_s`, shape (stages, K).
        bias: `b_s`, one for each stage.
        lengths: `K_s`, how many features each stage reads.
        stages: The stage of each step.
    """

    def __init__(self, gains: Array, taps: Array, bias: Array, lengths: Sequence[int], stages: Sequence[int]) -> None:
        self.gains, self.taps, self.bias, self.lengths, self.stages = gains, taps, bias, lengths, stages
        self.features: list[Array] = []

    def see(self, step: int, feature: Array) -> None:  # noqa: ARG002
        self.features.insert(0, feature)

    def guess(self, step: int) -> Array:
        s = self.stages[step]
        read = zip(self.taps[s][: self.lengths[s]], self.features, strict=False)
        change = sum(w * h for w, h in read) + self.bias[s]
        self.features.insert(0, self.features[0] + self.gains[s][step] * change)
        return self.features[0]


def kan(tensors: dict[str, Array], number: int, x: Array) -> Array:
    """A Kolmogorov-Arnold network of an artifact (arXiv 2404.19756): from each input to each output, a curve.

    A curve is `scale_base silu(x) + scale_sp sum_m coef_m B_m(x)`, with cubic B-splines `B_m`.

    Args:
        tensors: The artifact's. Of layer 0: `kan.{number}.0.grid` (inputs, knots), `.coef` (inputs, outputs, splines),
            `.scale_base` and `.scale_sp` (inputs, outputs).
        number: Which network.
        x: Shape (points, inputs).

    Returns:
        The only output, one for each point.
    """
    for layer in count():
        names = [f"kan.{number}.{layer}.{name}" for name in ("grid", "coef", "scale_base", "scale_sp")]
        if names[0] not in tensors:
            return x[:, 0]
        grid, coef, base, spline = (tensors[name] for name in names)
        x = (x / (1 + np.exp(-x))) @ base + np.einsum("pim,iom,io->po", splines(x, grid), coef, spline)
    raise AssertionError


def splines(x: Array, grid: Array, order: int = 3) -> Array:
    """All B-splines on a grid by de Boor's recursion: (points, inputs) -> (points, inputs, splines)."""
    x = x[..., None]
    found = ((grid[:, :-1] <= x) & (x < grid[:, 1:])).astype(float)
    for k in range(1, order + 1):
        rising = (x - grid[:, : -k - 1]) / (grid[:, k:-1] - grid[:, : -k - 1])
        falling = (grid[:, k + 1 :] - x) / (grid[:, k + 1 :] - grid[:, 1:-k])
        found = rising * found[..., :-1] + falling * found[..., 1:]
    return found
