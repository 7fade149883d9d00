from __future__ import annotations

import warnings

import pytest

from lesa_framework import LesaWarning
from lesa_framework.cli.console import Remaining, StepProgress, about, took, warnings_as_notes


def test_warnings_of_ours_are_notes_and_others_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning

    def warn() -> None:
        with warnings_as_notes():
            warnings.simplefilter("always")
            warnings.warn("ours [/b]", LesaWarning, stacklevel=1)
            warnings.warn("theirs", RuntimeWarning, stacklevel=1)

    with pytest.warns(RuntimeWarning, match="theirs") as others:
        warn()
    assert capsys.readouterr().err == "note: ours [/b]\n"
    assert [each.category for each in others] == [RuntimeWarning]
    assert warnings.showwarning is before


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "less than 10 seconds"), (9.9, "less than 10 seconds"), (10, "about 10 seconds"),
        (44, "about 50 seconds"), (55, "about a minute"), (80, "about 1.5 minutes"), (99, "about 2 minutes"),
        (119, "about 2 minutes"), (401, "about 7 minutes"), (7000, "about 1.9 hours"),
    ],
)  # fmt: skip
def test_durations_are_not_more_exact_than_known(seconds: float, words: str) -> None:
    assert about(seconds) == words


def test_progress_in_a_pipe_is_lines_from_the_first_moment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    with StepProgress("loading") as progress:
        assert capsys.readouterr().err == "loading\n"
        monkeypatch.setattr("lesa_framework.cli.console.time.monotonic", lambda: now)
        progress.expect(10 * 0.1, seconds=130.0)
        for _ in range(10):
            now += 20
            progress.step("reuse", 0.1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "the runs take about 3 minutes on this machine"
    assert [line[:10] for line in lines[1:]] == [f"{percent:3d}% reuse" for percent in range(20, 101, 10)]
    assert lines[1] == " 20% reuse, about 3 minutes left"  # the first step is not timed, the others take 20 s
    assert lines[9] == "100% reuse"


def test_a_duration_that_is_not_known_is_told_when_a_few_steps_were_timed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with StepProgress("generating") as progress:
        clock = iter([0.0, 100.0, 160.0])
        monkeypatch.setattr("lesa_framework.cli.console.time.monotonic", lambda: next(clock))
        progress.expect(50.0)
        assert capsys.readouterr().err == "generating\n"
        for _ in range(3):
            progress.step("generating")
        monkeypatch.undo()
    assert capsys.readouterr().err == "the runs take about 24 minutes on this machine\n"


def test_a_duration_is_not_told_of_predicted_steps_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("lesa_framework.cli.console.time.monotonic", lambda: now)
    with StepProgress("generating") as progress:
        progress.expect(10 * (1 + 4 * 0.03))
        for work in (1.0, *[0.03] * 4, 1.0):
            assert "the runs take" not in capsys.readouterr().err
            now += 3 if work == 1 else 0.001
            progress.step("generating", work)
    assert capsys.readouterr().err.splitlines()[0] == "the runs take about 30 seconds on this machine"


def test_a_run_of_less_than_a_second_is_not_said_to_take_ten(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with StepProgress("generating") as progress:
        clock = iter([0.0, 8.0, *(8.0 + 0.02 * number for number in range(1, 50))])  # the first step loads kernels
        monkeypatch.setattr("lesa_framework.cli.console.time.monotonic", lambda: next(clock))
        progress.expect(50.0)
        for _ in range(50):
            progress.step("generating")
        monkeypatch.undo()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["generating", "the runs take less than 10 seconds on this machine"]


def test_a_rest_is_told_once_something_is_done_and_not_when_it_is_soon_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 100.0, 190.0])
    monkeypatch.setattr("lesa_framework.cli.console.time.monotonic", lambda: next(clock))
    rest = Remaining()
    assert rest.words(0, 10) == ""
    assert rest.words(5, 10) == ", about 2 minutes left"
    assert rest.words(9.9, 10) == ""
    assert rest.words(10, 10) == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.123, "0.12 s"), (42.4, "42 s"), (130, "2 min 10 s"), (7260, "2 h 1 min")]
)
def test_a_duration_that_is_over_is_told_as_it_was(seconds: float, words: str) -> None:
    assert took(seconds) == words
