"""docs/reference/guarantees.md: the tests that it names are there."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "guarantees.md"


def test_the_tests_of_each_promise_are_there() -> None:
    found = []
    for row in re.findall(r"^\|.*", PAGE.read_text("utf-8"), re.MULTILINE):
        folder = ROOT / "tests"
        for name in re.findall(r"`(tests/[^`]+|test_\w+\.py)`", row):
            path = ROOT / name if name.startswith("tests/") else folder / name  # in the folder of the one before it
            folder = path.parent
            found.append(path)
    assert found
    assert [str(path.relative_to(ROOT)) for path in found if not path.exists()] == []
