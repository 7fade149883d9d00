from __future__ import annotations

import pytest

from lesa_framework.words import size


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "1 KiB"), (5000, "5 KiB"), (2**20, "1 MiB"), (999 * 2**20, "999 MiB"), (3 * 2**29, "1.5 GiB")],
)
def test_sizes_are_in_words(count: int, words: str) -> None:
    assert size(count) == words
