"""What `lesa search` says of its result."""

from __future__ import annotations

from lesa_framework.cli.search_result import closer_on, closer_prompts, finished_fit, overturned
from lesa_framework.search.record import Record, Tried


def test_it_says_on_how_many_prompts_the_written_steps_are_closer() -> None:
    even, other = Tried(steps=(0, 4), db=(9.0, 23.0, 24.0)), Tried(steps=(0, 3), db=(21.0, 21.0, 22.0))
    assert closer_prompts(other, even) == 1
    assert closer_on(other, even) == ["closer than even steps on 1 of the 3 prompts in the comparison"]
    assert closer_prompts(even, even) is None
    assert closer_on(even, even) == []


def test_a_finished_fit_has_a_line_where_it_is_another_one_than_the_comparison_s() -> None:
    judged = Tried(steps=(0, 3), db=(21.0, 22.0))
    other = finished_fit(judged, Tried(steps=(0, 3), db=(23.0, 24.0)))
    assert other == ["fitted with the real settings: 23.50 dB on the same prompts"]
    assert finished_fit(judged, judged) == finished_fit(judged, None) == []


def test_it_says_when_the_comparison_overturns_the_search() -> None:
    even, other = Tried(steps=(0, 4), db=(9.0,)), Tried(steps=(0, 3), db=(8.0,))
    record = Record(fingerprint="f", about={}, whole=1, tried=[even, other])
    assert overturned(record, even) is None
    record.compared = [even, other]
    assert "whose best was 0 4. On the prompts of both together, what was written is closer, so it" in str(
        overturned(record, other)
    )
    record.compared = [other, even]
    assert "nothing was closer than even steps, so those were written." in str(overturned(record, other))


def test_it_says_where_even_steps_are_closer_in_the_comparison() -> None:
    tried = [Tried(steps=(0, 4), db=(20.0,) * 12), Tried(steps=(0, 3), db=(20.8,) * 12)]
    even, other = Tried(steps=(0, 4), db=(24.3,) * 8), Tried(steps=(0, 3), db=(24.1,) * 8)
    record = Record(fingerprint="f", about={}, whole=12, tried=tried, compared=[even, other])
    assert record.outcome == other
    said = str(overturned(record, other))
    assert said.startswith("in the comparison alone, even steps are closer.")
    assert said.endswith("together, what was written is closer, so it counts as the best.")
    record.tried.append(Tried(steps=(0, 2), db=(21.0,) * 12))
    said = str(overturned(record, other))
    assert said.endswith("it counts as the best, though in the comparison alone even steps are closer.")
