from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks import benchmarks_page, front_page
from benchmarks.front_plots import THEMES, as_svg, front, quality, short, write_plots
from benchmarks.front_rows import FrontRows
from benchmarks.markup import filled
from lesa_framework.measure.results import Kind
from lesa_framework.measure.results_file import read_results
from tests.benchmarks.rows import row
from tests.benchmarks.test_front_rows import published
from tests.measure.page.samples import sample_results


def test_the_pages_say_what_the_committed_results_say():
    selection, measured = read_results(front_page.SELECTION), read_results(front_page.PUBLISHED)
    summary, sections = front_page.summary(selection, measured), front_page.benchmarks(selection, measured)
    for path, contents in ((front_page.README, {"results": summary}), (benchmarks_page.PAGE, sections)):
        text = path.read_text("utf-8")
        assert filled(text, contents) == text, "run python -m benchmarks.front_page"


def test_the_plans_of_the_benchmarks_page_have_as_many_computed_steps_as_their_headings_say():
    text = front_page.benchmarks(read_results(front_page.SELECTION), read_results(front_page.PUBLISHED))["plans"]
    computed = 0
    for line in text.splitlines():
        if heading := re.fullmatch(r".+, (\d+) of 50 steps", line):
            computed = int(heading[1])
        elif line.startswith("  "):
            plan = line.split()[-1]
            assert (len(plan), plan.count("F")) == (50, computed)
    assert text.count("\n  ") == 3 * 3


def test_the_committed_results_are_of_pairs_that_nothing_was_chosen_on():
    selection, measured = read_results(front_page.SELECTION), read_results(front_page.PUBLISHED)
    for chosen, shown in zip(selection.models, measured.models, strict=True):
        assert chosen.model == shown.model
        assert not {pair.prompt for pair in chosen.pairs} & {pair.prompt for pair in shown.pairs}


def test_the_plots_that_the_pages_show_are_there():
    for path, folder in ((front_page.README, front_page.ROOT), (benchmarks_page.PAGE, benchmarks_page.PAGE.parent)):
        shown = re.findall(r'(?:src|srcset)="([^"]+\.svg)"|\(([^)]+\.svg)#', path.read_text("utf-8"))
        assert shown
        for name in ("".join(found) for found in shown):
            assert (folder / name).is_file(), name


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
    write_plots(sample_results(), FrontRows(published(), published()).lines(), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(
        f"{plot}-{theme.name}.svg" for plot in ("front", "gallery", "pareto", "quality") for theme in THEMES
    )
    for name in names:
        assert len(list(ET.fromstring((tmp_path / name).read_bytes()).iter())) > 100
    light, dark = ((tmp_path / f"quality-{theme.name}.svg").read_text() for theme in THEMES)
    assert light != dark


def test_the_same_results_make_the_same_bytes():
    first, again = (as_svg(quality, sample_results(), THEMES[0]) for _ in range(2))
    assert first == again
    lines = FrontRows(published(), published()).lines()
    assert as_svg(front, lines, THEMES[0]) == as_svg(front, lines, THEMES[0])
