"""Each rival on series whose continuation is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial.chebyshev import chebval
from numpy.polynomial.hermite import hermval

from lesa_framework import AffinePredictor, EntryInfo, StepContext
from lesa_framework.testing import check_predictor, even_grid
from lesa_rivals.foca import FoCa, FoCaConfig
from lesa_rivals.hicache import HiCache, HiCacheConfig, hermite
from lesa_rivals.multistep import AdamsBashforth, AdamsBashforthConfig, Lagrange, LagrangeConfig
from lesa_rivals.spectrum import Spectrum, SpectrumConfig
from lesa_taylorseer.predictor import TaylorSeer

GRID = even_grid(50)
#: An uneven grid, as samplers with a shift have.
SHIFTED = tuple(3 * sigma / (1 + 2 * sigma) for sigma in GRID)
STEPS = (0, 4, 9, 15, 21)


def predicted(
    predictor: AffinePredictor, values: dict[int, float], step: int, grid: tuple[float, ...] = SHIFTED
) -> float:
    """The prediction for features that are single numbers."""
    entries = tuple(EntryInfo(known, True) for known in reversed(values))
    weights = predictor.filter(entries[: predictor.depth], StepContext(step, grid, entries=entries)).weights
    assert isinstance(weights, tuple)
    return sum(weight * values[entry.step] for weight, entry in zip(weights, entries, strict=False))


@pytest.mark.parametrize(
    "config", [HiCacheConfig(), LagrangeConfig(), AdamsBashforthConfig(), SpectrumConfig(), FoCaConfig()]
)
def test_they_keep_the_contract(config):
    check_predictor(config)


@given(x=st.floats(-5, 5), count=st.integers(1, 6))
def test_hermite_polynomials(x, count):
    expected = [hermval(x, [0] * m + [1]) for m in range(count)]
    assert hermite(x, count) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_hicache_moves_half_as_far_along_a_line_as_a_straight_line():
    line = {step: 3.0 * step for step in STEPS}
    straight = predicted(TaylorSeer(1), line, 25) - line[21]
    assert straight == pytest.approx(12.0)
    assert predicted(HiCache(1, 0.5), line, 25) - line[21] == pytest.approx(straight / 2)


def test_hicache_by_hand():
    # D_1 = (f(21) - f(15)) / 6, and D_2 = (D_1 - D_1') / 6 with D_1' = (f(15) - f(9)) / 6; x = 4, s x = 2.
    values = {9: 1.0, 15: 2.0, 21: 5.0}
    first, second = 3 / 6, (3 / 6 - 1 / 6) / 6
    expected = 5 + first * 0.5 * (2 * 2) + second * 0.25 * (4 * 4 - 2) / 2
    assert predicted(HiCache(2, 0.5), values, 25) == pytest.approx(expected)


@given(order=st.integers(0, 4), seed=st.integers(0, 100))
def test_lagrange_continues_a_polynomial_in_sigma(order, seed):
    polynomial = np.polynomial.Polynomial(np.random.default_rng(seed).normal(size=order + 1))
    values = {step: float(polynomial(SHIFTED[step])) for step in STEPS}
    assert predicted(Lagrange(order), values, 24) == pytest.approx(float(polynomial(SHIFTED[24])), abs=1e-6)


@given(order=st.integers(0, 4), seed=st.integers(0, 100))
def test_adams_bashforth_takes_the_mean_over_the_step(order, seed):
    polynomial = np.polynomial.Polynomial(np.random.default_rng(seed).normal(size=order + 1))
    values = {step: float(polynomial(SHIFTED[step])) for step in STEPS}
    start, end = SHIFTED[24], SHIFTED[25]
    mean = (polynomial.integ()(end) - polynomial.integ()(start)) / (end - start)
    assert predicted(AdamsBashforth(order), values, 24) == pytest.approx(float(mean), abs=1e-6)


def test_two_steps_of_adams_bashforth_are_the_textbooks():
    entries = (EntryInfo(1, True), EntryInfo(0, True))
    weights = AdamsBashforth(1).filter(entries, StepContext(1, even_grid(4), entries=entries)).weights
    assert weights == pytest.approx((1.5, -0.5))


@pytest.mark.parametrize("predictor", [Lagrange(2), AdamsBashforth(2)])
def test_the_order_grows_with_the_history(predictor):
    assert predicted(predictor, {5: 7.0}, 8) == pytest.approx(7.0)


def test_spectrum_with_a_small_ridge_continues_its_own_polynomials():
    places = {step: 2 * step / 50 - 1 for step in (*STEPS, 24)}
    values = {step: float(chebval(places[step], [1.0, -2.0, 0.5, 0.3])) for step in STEPS}
    expected = float(chebval(places[24], [1.0, -2.0, 0.5, 0.3]))
    assert predicted(Spectrum(3, 1e-9), values, 24) == pytest.approx(expected, abs=1e-5)


def test_spectrum_is_the_ridge_fit():
    values = {step: math.sin(step / 7) for step in STEPS}
    basis = np.polynomial.chebyshev.chebvander(np.array([2 * step / 50 - 1 for step in (*STEPS, 24)]), 4)
    stacked = np.concatenate([basis[:-1], math.sqrt(0.1) * np.eye(5)])
    fitted, *_ = np.linalg.lstsq(stacked, np.array([*values.values(), *[0.0] * 5]), rcond=None)
    assert predicted(Spectrum(4, 0.1), values, 24) == pytest.approx(float(basis[-1] @ fitted))


def test_spectrum_mixed_with_a_line():
    values = {step: math.sin(step / 7) for step in STEPS}
    line = values[21] + 3 * (values[21] - values[15]) / 6
    alone = predicted(Spectrum(4, 0.1), values, 24)
    assert predicted(Spectrum(4, 0.1, 0.25), values, 24) == pytest.approx(0.25 * alone + 0.75 * line)
    assert predicted(Spectrum(4, 0.1, 0.0), {4: 3.0}, 24) == pytest.approx(3.0)


@pytest.mark.parametrize(("mix", "lowest", "highest"), [(1.0, 0.65, 0.96), (0.5, 0.83, 0.98)])
def test_spectrum_pulls_a_constant_towards_zero_through_the_whole_run(mix, lowest, highest):
    computed = (0, 1, 2, 3, 4, 6, 11, 19, 30, 44)  # the authors', of 50
    known = {step: [before for before in computed if before < step] for step in range(50) if step not in computed}
    found = [predicted(Spectrum(mix=mix), dict.fromkeys(steps, 1.0), step, GRID) for step, steps in known.items()]
    assert (round(min(found), 2), round(max(found), 2)) == (lowest, highest)


def test_spectrum_of_a_run_of_one_step_that_is_known():
    assert predicted(Spectrum(0, 1e-9), {0: 2.0}, 1, even_grid(2)) == pytest.approx(2.0)


def by_recording(values: dict[int, float], last: int) -> float:
    """FoCa as it is written: what was used at each step is kept, and its slope."""
    used, slopes, known = [values[0]], [0.0], [0]
    for step in range(1, last + 1):
        if step in values:
            slopes.append((values[step] - values[known[-1]]) / (step - known[-1]))
            known.append(step)
            used.append(values[step])
            continue
        forecast = 4 / 3 * used[-1] - 1 / 3 * used[max(step - 2, 0)] + 2 / 3 * slopes[-1]
        used.append(used[-1] + 1 / 2 * (slopes[known[-1]] + (forecast - used[-1])))
        slopes.append(used[-1] - used[-2])
    return used[-1]


@given(values=st.lists(st.floats(-9, 9), min_size=5, max_size=5), last=st.integers(22, 40))
def test_foca_is_its_recursion(values, last):
    series = dict(zip(STEPS, values, strict=True))
    assert predicted(FoCa(), series, last) == pytest.approx(by_recording(series, last), abs=1e-6)


def test_foca_continues_a_line():
    series = {step: 3.0 * step + 1 for step in (0, 1, 2, 7, 12)}
    assert predicted(FoCa(), {0: 1.0, 1: 4.0}, 9) == pytest.approx(28.0)
    assert predicted(FoCa(), series, 15) == pytest.approx(46.0)


def test_foca_of_one_feature_is_reuse():
    assert predicted(FoCa(), {0: 7.0}, 5) == pytest.approx(7.0)


#: Levels of a sampler with two calls a step: all but the first and the last come twice.
TWINS = (1.0, 0.8, 0.8, 0.6, 0.6, 0.4, 0.4, 0.2, 0.2, 0.0)


@pytest.mark.parametrize("order", range(5))
@pytest.mark.parametrize("predictor", [Lagrange, AdamsBashforth])
def test_of_two_features_at_one_noise_level_the_newest_counts(predictor, order):
    both, newest = {0: 5.0, 1: 1.0, 2: 2.0, 4: 3.0}, {0: 5.0, 2: 2.0, 4: 3.0}
    found = [predicted(predictor(order), values, step, TWINS) for values in (both, newest) for step in (5, 6)]
    assert all(map(math.isfinite, found))
    if order >= 3:  # the whole history is read
        assert found[:2] == pytest.approx(found[2:])


def test_adams_bashforth_over_a_step_of_no_length_is_the_value_there():
    values = {0: 5.0, 2: 2.0, 3: 3.0}
    assert predicted(AdamsBashforth(2), values, 5, TWINS) == predicted(Lagrange(2), values, 5, TWINS)
