from __future__ import annotations

import pytest

from lesa_framework.measure.cells import Cell
from lesa_framework.measure.noise import noise_note, timing_noise
from lesa_framework.measure.results import Row
from tests.measure.test_results import row


def runs(*waited: float | None) -> list[Cell]:
    return [Cell(seconds=2.0, waited=each) for each in waited]


def test_waiting_counts_by_its_median_share() -> None:
    assert timing_noise(runs(0.0, 0.5, 2.0), []) == 0.25
    assert timing_noise(runs(None, 0.5), []) == 0.25, "one batch is from an earlier version's store"


def test_speed_ups_count_by_their_median_deviation() -> None:
    assert timing_noise(runs(None, None, None), [4.0, 5.0, 3.0]) == 0.25
    assert timing_noise(runs(None), [4.0]) is None, "one batch has no spread"
    assert timing_noise(runs(0.1, 0.1), [4.0, 4.4]) == pytest.approx(0.05), "the larger of the two"


def test_the_note_says_which_times_and_what_to_do() -> None:
    quiet, loud, old = (row("a", timing_noise=noise, seconds=1.0) for noise in (0.1, 0.11, None))
    assert [each.noisy for each in (quiet, loud, old)] == [False, True, False]
    assert noise_note([quiet, old]) == ""
    assert noise_note([quiet, loud]).startswith("Times with ~ are noisy: ")
    assert noise_note([loud]).startswith("All times are noisy: ")
    assert "repeat the run" in noise_note([loud])


def test_rows_of_older_files_have_no_noise() -> None:
    content = row("a").model_dump()
    del content["timing_noise"]
    assert not Row.model_validate(content).noisy
