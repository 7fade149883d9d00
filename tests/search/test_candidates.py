"""Starts and moves: always as many steps as the budget, step 0 and the fixed ones among them."""

from __future__ import annotations

from math import comb

from hypothesis import given
from hypothesis import strategies as st

from lesa_framework.search.candidates import every, moved, nearby, neighbours, repaired, starts

GRID = tuple(3 * (1 - i / 50) / (1 + 2 * (1 - i / 50)) for i in range(51))


def test_the_first_start_is_even_and_the_others_differ() -> None:
    found = starts(10, GRID, frozenset({0}))
    assert found[0] == tuple(range(0, 50, 5))
    assert len(found) == len(set(found)) == 6
    assert found[-1][:3] == (0, 1, 2)


@given(st.integers(1, 29), st.integers(2, 30), st.integers(0, 4))
def test_every_start_and_neighbour_is_valid(nfe: int, total: int, first: int) -> None:
    nfe, fixed = min(nfe, total - 1), frozenset(range(min(first, nfe, total - 1)))
    grid = [1 - i / total for i in range(total + 1)]
    for start in starts(nfe, grid, fixed):
        for steps in (start, *neighbours(start, total, fixed)):
            assert list(steps) == sorted(set(steps))
            assert len(steps) == nfe
            assert {0, *fixed} <= set(steps) <= set(range(total))


def test_moves_are_by_one_two_and_four_or_into_the_widest_gap() -> None:
    near = neighbours((0, 10, 20), 50, frozenset({0}))
    assert {(0, 9, 20), (0, 11, 20), (0, 8, 20), (0, 14, 20), (0, 10, 24)} <= set(near)
    assert (0, 20, 35) in near  # 10 into the gap from 20 to the end
    assert (0, 10, 20) not in near
    assert neighbours((0,), 50, frozenset({0})) == []
    assert all(10 in steps for steps in neighbours((0, 10, 20), 50, frozenset({0, 10})))


def test_a_step_moves_to_free_places_only() -> None:
    assert moved((0, 3, 4), 3, 4, 9) is None
    assert moved((0, 3, 4), 3, 0, 9) is None
    assert moved((0, 3, 4), 3, 9, 9) is None
    assert moved((0, 3, 4), 3, 6, 9) == (0, 4, 6)


def test_what_is_nearby_has_every_neighbour_and_some_that_are_two_moves_away() -> None:
    steps, fixed = (0, 10, 20), frozenset({0})
    found = nearby(steps, 50, fixed, 30, "seed")
    near = neighbours(steps, 50, fixed)
    assert found[: len(near)] == near
    assert len(found) == len(set(found)) > len(near)
    two = {further for each in near for further in neighbours(each, 50, fixed)}
    assert set(found[len(near) :]) <= two
    assert found == nearby(steps, 50, fixed, 30, "seed") != nearby(steps, 50, fixed, 30, "other")
    assert nearby((0,), 50, fixed, 30, "seed") == []


def test_what_is_repaired_keeps_what_it_can() -> None:
    assert repaired((0, 5, 5, 7), 3, 10, ()) == (0, 5, 7)
    assert repaired((0, 5), 3, 10, ()) == (0, 2, 5)
    assert repaired((0, 5, 6, 9), 3, 10, {1}) in {(0, 1, 5), (0, 1, 6), (0, 1, 9)}


def test_every_candidate_comes_once() -> None:
    found = list(every(4, 9, frozenset({0, 3})))
    assert len(found) == len(set(found)) == comb(7, 2)
    assert all(steps == tuple(sorted(set(steps))) and {0, 3} < set(steps) for steps in found)
    assert list(every(1, 5, ())) == [(0,)]
    assert next(every(100, 1000, ())) == tuple(range(100)), "none of the others is made"
