from __future__ import annotations

import pytest

from lesa_framework.measure.page.cards import answers, card_groups, grid_columns
from lesa_framework.measure.page.verdicts import Verdict
from tests.measure.page.test_verdicts import row


def _verdict(model: str, nfe: int, num_steps: int = 50, winner: str = "best") -> Verdict:
    return Verdict(model, nfe, num_steps, row(winner, "a", 30.0) if winner else None, (), ())


FOUND = [_verdict("a", 8), _verdict("a", 10), _verdict("b", 6, 30), _verdict("c", 8, winner="")]


def test_winners_are_grouped_by_work_and_not_by_steps() -> None:
    told = {work: [verdict.model for verdict in each] for work, each in answers(FOUND).items()}
    assert told == {"5×": ["a", "b"], "6.25×": ["a"]}
    assert list(told) == ["5×", "6.25×"]


def test_cards_of_a_model_stand_together() -> None:
    groups = card_groups(FOUND)
    assert {model: [verdict.nfe for verdict in each] for model, each in groups.items()} == {
        "a": [8, 10],
        "b": [6],
        "c": [8],
    }


@pytest.mark.parametrize(
    ("sizes", "columns"),
    [
        ([1], 1), ([2], 2), ([3], 3), ([1, 1, 1], 3), ([2, 1], 3), ([1, 1], 2), ([2, 1, 1], 2), ([2, 2], 2),
        ([4], 2), ([3, 3], 3), ([2, 2, 2], 2), ([1, 1, 1, 1, 1], 2), ([1, 2, 1], 2),
    ],
)  # fmt: skip
def test_cards_fill_their_lines(sizes: list[int], columns: int) -> None:
    assert grid_columns(sizes) == columns
