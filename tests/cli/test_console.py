from __future__ import annotations

import warnings

import pytest

from lesa_framework import LesaWarning
from lesa_framework.cli.console import warnings_as_notes


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
