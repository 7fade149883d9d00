from __future__ import annotations

import pytest

from lesa_framework.measure import columns as formats
from lesa_framework.measure.columns import SPEEDUP, columns, explained
from lesa_framework.measure.details import MetricInfo
from lesa_framework.measure.results import ModelResults, Results
from tests.measure.page.samples import METRICS, sample_results, timed_results
from tests.measure.test_results import row


def test_every_measured_score_is_a_column_between_work_and_cost() -> None:
    headings = [column.heading for column in columns(sample_results())]
    assert headings == [
        "NFE", "work", "PSNR, dB", "SSIM", "rel. L2", "caption", "LPIPS", "s / sample", "speed-up", "FLOPs", "cache",
        "peak memory",
    ]  # fmt: skip


def test_a_metric_says_how_its_column_is_written_and_sorted() -> None:
    flicker = MetricInfo(heading="flicker", summary="Does it flicker?", higher_is_better=False, digits=1)
    found = row("a", psnr_db=30.0, flicker=-0.25)
    results = Results(
        rows=[found, row("b")],
        models=[ModelResults(model="m", num_steps=50, batch=1)],
        metrics={**METRICS, "flicker": flicker},
    )
    (column,) = [each for each in columns(results) if each.heading == "flicker"]
    assert column.text(found) == "−0.2"
    assert column.text(results.rows[1]) == "–"
    assert (column.better, column.title) == ("down", "Does it flicker?; lower is better")


def test_noisy_times_are_marked_and_nothing_else() -> None:
    shown = columns(timed_results())
    noisy = timed_results().rows[1].model_copy(update={"timing_noise": 0.5})
    marked = {column.heading for column in shown if column.text(noisy).startswith("~")}
    assert marked == {"s / sample", "speed-up"}
    assert not any(column.text(timed_results().rows[1]).startswith("~") for column in shown)


def test_a_speed_up_over_a_noisy_uncached_time_is_marked_and_its_own_time_is_not() -> None:
    quiet = timed_results()
    uncached, *others = quiet.rows
    loud = Results(rows=[uncached.model_copy(update={"timing_noise": 0.5}), *others], models=quiet.models)
    shown = columns(loud)
    marked = {column.heading for column in shown if column.text(loud.rows[1]).startswith("~")}
    assert marked == {"speed-up"}


def test_scores_that_not_everybody_knows_are_explained() -> None:
    assert [(column.heading, info.summary) for column, info in explained(sample_results())] == [
        ("caption", "Is it what was asked for?"), ("LPIPS", "Perceptual distance."),
    ]  # fmt: skip


def test_scores_with_one_heading_are_explained_each_by_its_own_sentence() -> None:
    found, asked = sample_results(), ("LPIPS", "Perceptual distance, by a larger network.")
    larger = MetricInfo(heading=asked[0], summary=asked[1], higher_is_better=False)
    rows = [each.model_copy(update={"lpips_large": 0.5}) for each in found.rows]
    both = found.model_copy(update={"rows": rows, "metrics": {**found.metrics, "lpips_large": larger}})
    *_, first, second = explained(both)
    assert [info.summary for _, info in (first, second)] == ["Perceptual distance.", asked[1]]
    assert second[0].read(rows[0]) == 0.5


def test_a_model_that_was_only_timed_has_no_scores() -> None:
    assert [column.heading for column in columns(timed_results())] == [
        "NFE", "work", "s / sample", "speed-up", "cache",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (formats.gain(-0.123), "−0.12"),
        (formats.gain(12.34), "+12.3"),
        (formats.steps(9.84), "9.8"),
        (formats.steps(10.0), "10"),
        (formats.size(0), "0"),
        (formats.size(1536), "1.5 KiB"),
        (formats.size(2**20 / 10), "0.10 MiB"),
        (formats.size(4 * 2**20), "4.00 MiB"),
        (formats.size(300 * 2**20), "300 MiB"),
        (formats.size(3 * 2**30), "3.00 GiB"),
        (formats.operations(2.1e12), "2.10 T"),
        (formats.operations(5e6), "5.00 M"),
        (formats.seconds(0.0581), "0.058"),
        (formats.seconds(12.34), "12.3"),
        (formats.decimals(-1.005, 1), "−1.0"),
    ],
)
def test_numbers(written: str, expected: str) -> None:
    assert written == expected


def test_a_speedup_says_that_it_is_not_the_ratio_of_the_times_beside_it() -> None:
    (title,) = [column.title for column in columns(sample_results()) if column.heading == "speed-up"]
    assert title == SPEEDUP == "Uncached seconds over the row's, batch by batch; the median"
