from __future__ import annotations

import warnings

import pytest

from lesa_framework import LesaWarning
from lesa_framework.cli.console import StepProgress, about, warnings_as_notes


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
        (1, "10 seconds"), (44, "50 seconds"), (55, "a minute"), (80, "1.5 minutes"), (119, "2 minutes"),
        (401, "7 minutes"), (7000, "1.9 hours"),
    ],
)  # fmt: skip
def test_durations_are_not_more_exact_than_known(seconds: float, words: str) -> None:
    assert about(seconds) == words


def test_progress_in_a_pipe_is_lines_from_the_first_moment(capsys: pytest.CaptureFixture[str]) -> None:
    with StepProgress("loading", announce=True) as progress:
        assert capsys.readouterr().err == "loading\n"
        progress.expect(10 * 0.1, seconds=130.0)
        for _ in range(10):
            progress.step("reuse", 0.1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "about 3 minutes on this machine"
    assert lines[1:] == [f"{percent:3d}% reuse" for percent in range(10, 101, 10)]


def test_a_duration_is_told_only_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with StepProgress("generating", announce=True) as progress:
        progress.expect(2.0)
    assert capsys.readouterr().err == "generating\n"
