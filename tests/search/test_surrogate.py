"""The guess at what was not tried."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np

from lesa_framework.search.record import Tried
from lesa_framework.search.surrogate import _LENGTH, _SHARE, Surrogate

TOTAL = 12
EVERY = [(0, *rest) for rest in itertools.combinations(range(1, TOTAL), 2)]


def _db(steps: tuple[int, ...]) -> float:
    """Intervals cost their squared length, early ones more."""
    ends = (*steps, TOTAL)
    return 20 - sum((b - a) ** 2 * (1 - a / 20) for a, b in itertools.pairwise(ends)) / 20


def _tried(steps: tuple[int, ...], prompts: int = 4) -> Tried:
    return Tried(steps=steps, db=tuple(_db(steps) + 0.01 * prompt for prompt in range(prompts)))


def test_what_was_tried_is_known_and_the_rest_is_guessed_in_the_right_order() -> None:
    shuffled = [EVERY[place] for place in np.random.default_rng(0).permutation(len(EVERY))]
    first, known, unknown = (0, 4, 8), shuffled[:25], shuffled[25:]
    surrogate = Surrogate([_tried(first), *map(_tried, known)], TOTAL)
    gains, deviations = surrogate.expect(known)
    assert np.abs(gains - [max(_db(steps) - _db(first), -4) for steps in known]).max() < 0.5
    guessed, unsure = surrogate.expect(unknown)
    assert np.corrcoef(guessed, [_db(steps) for steps in unknown])[0, 1] > 0.9
    assert unsure.mean() > deviations.mean()


def test_candidates_tell_about_each_other_as_much_as_all_pairs_of_their_intervals() -> None:
    surrogate, some = Surrogate([_tried((0, 4, 8))], TOTAL), EVERY[::7]
    ends = np.array([list(itertools.pairwise((*steps, TOTAL))) for steps in some], dtype=float)
    apart = ((ends[:, None, :, None] - ends[None, :, None, :]) ** 2).sum(-1)
    wanted = _SHARE * np.exp(-apart / (2 * _LENGTH**2)).sum((-1, -2))
    intervals = surrogate._intervals(some)
    assert np.allclose(surrogate._covariance(intervals, intervals), wanted, rtol=1e-12, atol=0)


def test_hundreds_of_candidates_of_many_steps_need_little_memory() -> None:
    draw = np.random.default_rng(0)
    some = [(0, *sorted(draw.choice(range(1, 50), 24, replace=False).tolist())) for _ in range(300)]
    tracemalloc.start()
    Surrogate([Tried(steps=steps, db=(float(draw.normal()),) * 2) for steps in some], 50).expect(some)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6  # an array of all pairs of intervals has 900 MB


def test_far_from_everything_it_says_that_it_does_not_know() -> None:
    surrogate = Surrogate([_tried((0, 1, 2)), _tried((0, 1, 3))], TOTAL)
    _, (sure, unsure) = surrogate.expect([(0, 1, 2), (0, 9, 11)])
    assert unsure > sure > 0


def test_a_candidate_with_one_score_tells_little() -> None:
    first, good = Tried(steps=(0, 4, 8), db=(20.0, 20.0, 20.0)), (0, 3, 6)
    one = Surrogate([first, Tried(steps=good, db=(23.0,))], TOTAL).expect([good])
    all_of_them = Surrogate([first, Tried(steps=good, db=(23.0, 23.0, 23.0))], TOTAL).expect([good])
    assert 0 < float(one[0][0]) < float(all_of_them[0][0]) <= 3.0
    assert float(one[1][0]) > float(all_of_them[1][0])


def test_what_is_hopeless_does_not_drown_the_rest() -> None:
    first = Tried(steps=(0, 4, 8), db=(20.0, 20.0))
    surrogate = Surrogate([first, Tried(steps=(0, 10, 11), db=(-100.0, -100.0))], TOTAL)
    (gain,), _ = surrogate.expect([(0, 10, 11)])
    assert -4.0 <= gain < -3.0
