from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks import front_page
from benchmarks.front_plots import THEMES, as_svg, quality, short, write_plots
from lesa_framework.measure.results import Kind, ModelResults, Results, Row
from lesa_framework.measure.results_file import read_results
from tests.measure.page.samples import METRICS, sample_results


def row(name: str, psnr_db: float, **other) -> Row:
    known = {"model": "m", "kind": Kind.CACHE, "family": "taylorseer", "nfe": 10, "num_steps": 50, "work": 10}
    return Row(name=name, psnr_db=psnr_db, **{**known, **other})


def test_the_pages_say_what_the_committed_results_say():
    results = read_results(front_page.RESULTS)
    for path, content in (
        (front_page.README, front_page.summary(results)),
        (front_page.PAGE, front_page.page(results)),
    ):
        text = path.read_text("utf-8")
        assert front_page.between_markers(text, content) == text, "run python -m benchmarks.front_page"


def test_the_plots_that_the_pages_show_are_there():
    for path, folder in ((front_page.README, front_page.ROOT), (front_page.PAGE, front_page.ROOT / "docs")):
        shown = re.findall(r'(?:src|srcset)="([^"]+\.svg)"|\(([^)]+\.svg)#', path.read_text("utf-8"))
        assert shown
        for name in ("".join(found) for found in shown):
            assert (folder / name).is_file(), name


def test_the_front_page_has_the_best_of_each_sort_and_two_peers():
    rows = [
        row("taylor1-n7", 30.0, schedule="n7"),
        row("taylor2-n7", 31.0, schedule="n7"),
        row("taylor1-even", 29.0, schedule="even"),
        row("lesa-n7", 32.0, family="lesa"),
        *(row(f"peer{number}", 20.0 + number, kind=Kind.PEER, family=f"peer{number}") for number in range(4)),
        row("greedy", 50.0, kind=Kind.PEER, work=30.0),
        row("other", 60.0, nfe=8, work=8),
    ]
    shown = [each.name for each in front_page.front_rows(rows, 10)]
    assert shown == ["lesa-n7", "taylor2-n7", "taylor1-even", "peer3", "peer2"]


def test_an_excluded_row_says_why():
    failed = row("broken", 0.0).model_copy(update={"psnr_db": None, "error": "it fell over"})
    greedy = row("greedy", 40.0, work=34.0, note="Cannot do as little as 10.")
    found = ModelResults(model="m", num_steps=50, batch=1)
    results = Results(rows=[row("good", 30.0), greedy, failed], models=[found], metrics=METRICS)
    text = front_page.table(results, "m", 10)
    assert "| **`good`** | **10 of 50** | **30.00** |" in text
    assert "| `greedy` | 34 of 50 | 40.00 |" in text, "and not in bold"
    assert "- `broken`: it fell over\n" in text + "\n"
    assert "- `greedy`: did the work of 34 steps, more than 10. Cannot do as little as 10.\n" in text + "\n"
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(columns) == 1


@pytest.mark.parametrize(
    ("name", "changes", "shown"),
    [
        ("ref-flux-lesa-n7", {"family": "lesa"}, "lesa-n7"),
        ("taylorseer1-even10", {"family": "taylorseer"}, "taylorseer1-even10"),
        ("diffusers_magcache_10", {"family": "diffusers_magcache", "kind": Kind.PEER}, "diffusers_magcache"),
        ("fewer_steps_10", {"family": "fewer_steps", "kind": Kind.FEWER_STEPS, "num_steps": 10}, "10 plain steps"),
    ],
)
def test_short_names(name, changes, shown):
    assert short(row(name, 1.0, **changes)) == shown


def test_plots_are_drawn_for_light_and_dark_pages(tmp_path):
    write_plots(sample_results(), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(f"{plot}-{theme.name}.svg" for plot in ("gallery", "pareto", "quality") for theme in THEMES)
    for name in names:
        assert len(list(ET.fromstring((tmp_path / name).read_bytes()).iter())) > 100
    light, dark = ((tmp_path / f"quality-{theme.name}.svg").read_text() for theme in THEMES)
    assert light != dark


def test_the_same_results_make_the_same_bytes():
    first, again = (as_svg(quality, sample_results(), THEMES[0]) for _ in range(2))
    assert first == again
