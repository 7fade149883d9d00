from __future__ import annotations

import itertools
import json
import re

import pytest

from lesa_framework import extras
from lesa_framework.errors import ConfigError
from lesa_framework.measure.page.render import check_report, write_page
from lesa_framework.measure.results import Results
from tests.measure.page.samples import PICTURES, VIDEOS, sample_results, timed_results


@pytest.fixture(scope="module")
def markup() -> str:
    """The page without its scripts."""
    return re.sub(r"<script>.*?</script>", "", write_page(sample_results()), flags=re.DOTALL)


def test_nothing_is_fetched_from_anywhere(markup: str) -> None:
    assert markup.startswith("<!doctype html>")
    assert not re.search(r"""(src|href|url\()=?["']?(?!data:|#)(https?:|//)""", markup)
    assert "default-src 'none'" in markup


def test_prompts_are_text_and_never_markup(markup: str) -> None:
    assert "a &lt;b&gt;blue&lt;/b&gt; star &amp; a" in markup
    assert "<b>blue" not in markup


def test_every_row_has_a_place_for_its_source(markup: str) -> None:
    for number, row in enumerate(sample_results().rows):
        assert f'href="#how-{number}"' in markup
        assert f'id="how-{number}"' in markup
        assert markup.count(f"--only {row.name}") >= 1
    assert "threshold: 0.12" in markup
    assert "targets:" in markup  # the benchmark's file, as YAML


def test_columns_without_a_value_are_not_shown(markup: str) -> None:
    assert ">LPIPS</button>" in markup
    assert ">features</button>" not in markup


def test_parts_of_the_work_are_explained_where_a_row_has_some(markup: str) -> None:
    assert "here four tenths" in markup
    results = sample_results()
    for model in results.models:
        for details in model.details.values():
            details.plans.update({branch: re.sub(r"\d", "P", plan) for branch, plan in details.plans.items()})
    assert "here four tenths" not in write_page(results)


def test_headings_go_down_one_at_a_time(markup: str) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", markup)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_scripts_get_every_row(markup: str) -> None:
    found = re.search(r'id="payload">(.*?)</script>', markup, re.DOTALL)
    assert found is not None
    payload = json.loads(found[1])
    assert [model["name"] for model in payload["models"]] == [PICTURES, VIDEOS]
    assert len(payload["rows"]) == len(sample_results().rows)


def test_only_the_first_samples_are_shown_at_once(markup: str) -> None:
    assert markup.count("<summary>2 more samples</summary>") == 2


def test_skipped_metrics_are_listed_apart_from_notes() -> None:
    found = sample_results().model_copy(update={"notes": ["not measured: lpips: no torchvision", "made up"]})
    markup = write_page(found)
    assert "<summary>1 metric was not measured</summary>" in markup
    assert "<li>lpips: no torchvision</li>" in markup
    assert "Note: made up" in markup


def test_a_card_marks_a_noisy_speedup_as_the_tables_do(markup: str) -> None:
    assert "<dd>4.1×</dd>" in markup
    noisy = [row.model_copy(update={"timing_noise": 0.5}) for row in sample_results().rows]
    cards = write_page(sample_results().model_copy(update={"rows": noisy})).partition("</section>")[0]
    assert ">~4.1×</dd>" in cards
    assert ">4.1×</dd>" not in cards
    uncached = [
        row.model_copy(update={"timing_noise": 0.5}) if row.name == "uncached" else row for row in sample_results().rows
    ]
    content = sample_results().model_copy(update={"rows": uncached}).model_dump()
    cards = write_page(Results.model_validate(content)).partition("</section>")[0]
    assert ">~4.1×</dd>" in cards, "a ratio over a spoiled time"
    assert ">4.1×</dd>" not in cards


def test_scores_are_explained_below_the_table(markup: str) -> None:
    assert '<p class="soft">caption: Is it what was asked for?</p>' in markup


def test_missing_packages_are_named_early(monkeypatch: pytest.MonkeyPatch) -> None:
    check_report()
    monkeypatch.setattr(extras, "is_installed", lambda module: module not in {"plotly", "PIL"})
    with pytest.raises(
        ConfigError, match=r"^--report: needs pillow and plotly, which are not installed\. Install with: pip install "
    ):
        check_report()


def test_a_model_that_was_only_timed_has_no_verdicts_and_shows_where_the_time_goes() -> None:
    markup = write_page(timed_results())
    assert 'id="which"' not in markup
    assert "<td>0.250</td><td>90 %</td></tr>" in markup
    assert "parameters: 12000000000" in markup
