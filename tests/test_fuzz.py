"""A few mutated files of each sort; `python -m tests.fuzz` tries thousands."""

from __future__ import annotations

import pytest

from tests.fuzz import SORTS, attempts


@pytest.mark.parametrize(
    ("sort", "count"), [("configs", 120), ("prompt files", 60), ("bench files", 40), ("results files", 8)]
)
def test_mutated_files_are_accepted_or_refused_and_nothing_else(sort, count, tmp_path):
    found = [(result, content) for result, content in attempts(sort, count, tmp_path)]
    assert [each for each in found if each[0] not in ("accepted", "refused")] == []
    assert any(result == "refused" for result, _ in found)


def test_every_sort_is_valid_before_it_is_mutated(tmp_path):
    path = tmp_path / "valid"
    for files, _, read in SORTS.values():
        for content in files():
            path.write_bytes(content)
            read(path)
