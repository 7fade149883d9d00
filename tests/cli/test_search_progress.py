"""What `lesa search` says on its way."""

from __future__ import annotations

import pytest

from lesa_framework.cli.search_progress import Watch
from lesa_framework.search.record import Record, Tried
from lesa_framework.search.run import SearchProgress
from lesa_framework.search.search import Limit


def shown(
    limit: Limit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    first: float = 6,
    comparison: float = 0.0,
) -> str:
    """What is said of 100 equal candidates of 6 seconds, the first one aside, up to the thirtieth."""
    record = Record(fingerprint="f", about={}, whole=1, comparison_seconds=comparison)
    now = 0.0
    monkeypatch.setattr("lesa_framework.cli.console.time.monotonic", lambda: now)
    with Watch(limit) as watch:
        watch.show(SearchProgress("searching", 0.0, record))
        for number in range(1, 31):
            now += first if number == 1 else 6
            newest = Tried(steps=(0, number), db=(20.0,))
            record.tried.append(newest)
            watch.show(SearchProgress("searching", limit.share(number, now), record, newest))
    return capsys.readouterr().err


def test_a_count_of_candidates_has_a_time_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = shown(Limit(tries=100), monkeypatch, capsys)
    assert " 10% searching, best 20.00 dB in the search (even steps 20.00), 10 tried, about 9 minutes left\n" in said
    assert " 30% searching, best 20.00 dB in the search (even steps 20.00), 30 tried, about 7 minutes left\n" in said


def test_the_first_candidate_which_is_tried_to_the_end_is_no_measure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = shown(Limit(tries=100), monkeypatch, capsys, first=60)
    assert " 1 tried: 0 1\n" in said
    assert "searching, about 10 minutes left\n" in said, "98 times 6 seconds, as soon as the second one is tried"
    assert "10 tried, about 9 minutes left\n" in said


def test_the_comparison_at_the_end_belongs_to_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = shown(Limit(tries=100), monkeypatch, capsys, comparison=40.0)
    assert "10 tried, about 11 minutes left\n" in said, "9 minutes, and three comparisons"


def test_of_two_limits_the_nearer_one_tells_the_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = shown(Limit(tries=100, seconds=3600), monkeypatch, capsys)
    assert "10 tried, about 9 minutes left\n" in said


def test_a_limit_in_minutes_is_the_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(Limit(seconds=600), monkeypatch, capsys)
    assert "1 tried, about 10 minutes left: 0 1\n" in said
    assert "10 tried, about 9 minutes left\n" in said


def recorded(limit: Limit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], record: Record) -> str:
    """What is said of uncached runs that take twenty minutes, after their first steps."""
    now = 0.0
    monkeypatch.setattr("lesa_framework.cli.console.time.monotonic", lambda: now)
    with Watch(limit) as watch:
        for step in range(1, 4):
            now = 6.0 * step
            watch.show(SearchProgress("recording", step / 200, record))
    return capsys.readouterr().err


def test_the_first_fit_is_told_before_it_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    with Watch(Limit(tries=1)) as watch:
        for done in (0.0, 0.5):
            watch.show(SearchProgress("first fit", done, new_record()))
    assert capsys.readouterr().err.splitlines()[0] == "fitting on one prompt first, to see that it can be done."


def new_record(*tried: Tried) -> Record:
    return Record(fingerprint="f", about={}, whole=1, tried=list(tried), compared=list(tried[:1]))


def test_uncached_runs_tell_their_time_after_their_first_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recorded(Limit(seconds=3600), monkeypatch, capsys, new_record()) == "recording, about 20 minutes left\n"


def test_uncached_runs_that_leave_no_time_are_told_while_one_can_still_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = recorded(Limit(seconds=600), monkeypatch, capsys, new_record())
    assert "the uncached runs take about 20 minutes, longer than the whole search may" in said
    assert said.count("longer than") == 1
    resumed = recorded(Limit(seconds=600), monkeypatch, capsys, new_record(Tried(steps=(0, 1), db=(20.0,))))
    assert "longer than" not in resumed, "they do not count against a search that resumes"
