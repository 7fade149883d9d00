"""The loop, with candidates whose closeness is a formula."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lesa_framework.search.candidates import Steps
from lesa_framework.search.record import Record, Tried
from lesa_framework.search.search import Limit, Search, is_behind

TOTAL, BEST = 20, (0, 3, 4, 9)
STARTS = [(0, 5, 10, 15), (0, 1, 2, 10)]


class Formula:
    """Closeness falls with the distance to the best steps, a little differently for each of four prompts."""

    def __init__(self) -> None:
        self.asked: list[tuple[Steps, int]] = []

    def scores(self, steps: Steps) -> Iterator[tuple[float, ...]]:
        for rung, prompts in enumerate(((0, 1), (2, 3))):
            self.asked.append((steps, rung))
            yield tuple(_db(steps, prompt) for prompt in prompts)

    def whole(self, steps: Steps) -> tuple[float, ...]:
        return tuple(_db(steps, prompt) for prompt in range(6))


def _db(steps: Steps, prompt: int) -> float:
    return 30.0 - sum(abs(one - other) for one, other in zip(steps, BEST, strict=True)) * (1 + 0.1 * prompt)


class Far:
    """The later the steps, the closer."""

    def scores(self, steps: Steps) -> Iterator[tuple[float, ...]]:
        yield (float(sum(steps)),) * 4

    def whole(self, steps: Steps) -> tuple[float, ...]:
        return (float(sum(steps)),)


def new_record() -> Record:
    return Record(fingerprint="f", about={}, whole=4)


def search(
    record: Record, trials: Formula | None = None, seed: int = 0, clock: Iterator[float] | None = None
) -> Search:
    ticks = clock or iter(range(10**6))
    return Search(trials or Formula(), record, STARTS, TOTAL, frozenset({0}), seed, clock=lambda: float(next(ticks)))


def test_it_finds_the_best_and_compares_it_with_the_even_start() -> None:
    record = new_record()
    seen = list(search(record).run(Limit(tries=80)))
    assert record.outcome is not None
    assert record.outcome.steps == BEST
    assert record.compared[0].steps == STARTS[0]
    assert [each.steps for each in record.tried[:2]] == STARTS
    assert len(record.tried) == len({each.steps for each in record.tried}) == 80
    assert len(seen) == len(record.tried) + len(record.compared)


def test_candidates_that_are_clearly_worse_are_dropped_after_the_first_prompts() -> None:
    record, trials = new_record(), Formula()
    list(search(record, trials).run(Limit(tries=30)))
    dropped = [each for each in record.tried if len(each.db) == 2]
    assert dropped
    assert all((each.steps, 1) not in trials.asked for each in dropped)
    assert all(len(each.db) == 4 for each in record.full)


def test_the_same_seed_gives_the_same_search_and_another_seed_another() -> None:
    first, again, other = new_record(), new_record(), new_record()
    list(search(first).run(Limit(tries=30)))
    list(search(again).run(Limit(tries=30)))
    list(search(other, seed=1).run(Limit(tries=30)))
    assert first == again
    assert [each.steps for each in other.tried] != [each.steps for each in first.tried]


@pytest.mark.parametrize("stop_after", [1, 3, 11, 31])
def test_a_stopped_search_goes_on_where_it_was(stop_after: int) -> None:
    whole, parts = new_record(), new_record()
    list(search(whole).run(Limit(tries=30)))
    running = search(parts).run(Limit(tries=30))
    for _ in range(stop_after):
        next(running)
    running.close()
    resumed = Record.model_validate_json(parts.model_dump_json())
    list(search(resumed).run(Limit(tries=30)))
    assert [each.steps for each in resumed.tried] == [each.steps for each in whole.tried]
    assert [each.db for each in resumed.compared] == [each.db for each in whole.compared]


def test_a_finished_search_says_so_and_goes_on_with_a_higher_limit() -> None:
    record = new_record()
    assert not search(record).is_finished(Limit(tries=5))
    list(search(record).run(Limit(tries=5)))
    assert search(record).is_finished(Limit(tries=5))
    assert list(search(record).run(Limit(tries=5))) == []
    assert not search(record).is_finished(Limit(tries=6))


def test_a_time_budget_leaves_room_for_the_comparison() -> None:
    record = new_record()
    list(search(record).run(Limit(seconds=30)))  # each trial takes a second of this clock
    assert 20 <= len(record.tried) <= 27
    assert record.seconds <= 31


def test_the_time_in_which_the_next_candidate_is_chosen_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now, choose = 0.0, Search._next

    def slow(self: Search) -> Steps | None:
        nonlocal now
        now += 3.0
        return choose(self)

    monkeypatch.setattr(Search, "_next", slow)
    record = new_record()
    list(Search(Formula(), record, STARTS, TOTAL, frozenset({0}), 0, clock=lambda: now).run(Limit(tries=5)))
    assert record.seconds == 15.0


def test_a_small_space_is_searched_to_its_end() -> None:
    record = new_record()
    small = Search(Formula(), record, [(0, 1, 2, 3)], 5, frozenset({0}), 0)
    list(small.run(Limit(tries=1000)))
    assert {each.steps for each in record.tried} == {(0, 1, 2, 3), (0, 1, 2, 4), (0, 1, 3, 4), (0, 2, 3, 4)}
    assert small.is_finished(Limit(tries=1000))


def test_a_thin_space_is_searched_to_its_end_too() -> None:
    record = new_record()
    thin = Search(Far(), record, [(0, 25), (0, 3)], 50, frozenset({0}), 0)
    list(thin.run(Limit(tries=1000)))
    assert sorted(each.steps for each in record.tried) == [(0, step) for step in range(1, 50)]
    assert thin.is_exhausted()


def test_fixed_steps_hide_no_candidate() -> None:
    record, fixed = new_record(), frozenset({0, 5, 6, 7, 8})
    walled = Search(Far(), record, [(0, 2, 5, 6, 7, 8)], 12, fixed, 0)
    list(walled.run(Limit(tries=1000)))
    assert {step for each in record.tried for step in each.steps} == set(range(12)), "no move leads past four of them"


@pytest.mark.parametrize(
    ("scores", "best", "patience", "behind"),
    [
        ((29.0, 29.1), (30.0, 30.0, 30.0), 1.0, True),
        ((29.0, 30.9), (30.0, 30.0, 30.0), 1.0, False),
        ((29.0, 30.9), (30.0, 30.0, 30.0), 0.0, True),
        ((29.0,), (30.0, 30.0), 1.0, True),
        ((31.0, 31.0), (30.0, 30.0), 0.0, False),
    ],
)
def test_is_behind(scores: tuple[float, ...], best: tuple[float, ...], patience: float, behind: bool) -> None:
    assert is_behind(scores, best, patience) is behind


def test_the_outcome_goes_by_all_that_is_known() -> None:
    record = new_record()
    record.tried = [Tried(steps=(0, 1), db=(5.0,) * 4), Tried(steps=(0, 2), db=(1.0,) * 4)]
    record.compared = [Tried(steps=(0, 1), db=(3.0,)), Tried(steps=(0, 2), db=(4.0,))]
    assert record.outcome == record.compared[0]
    assert record.pooled(record.compared[1]) == pytest.approx(1.6)


def test_a_candidate_that_was_dropped_is_never_the_best() -> None:
    record = new_record()
    record.tried = [Tried(steps=(0, 1), db=(99.0,)), Tried(steps=(0, 2), db=(1.0, 1.0, 1.0, 1.0))]
    assert record.best == record.tried[1]
