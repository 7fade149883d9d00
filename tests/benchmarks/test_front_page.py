from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks import benchmarks_page, front_page
from benchmarks.front_plots import THEMES, as_svg, front, pareto, quality, short, write_plots
from benchmarks.front_rows import SYSTEMS, TAYLOR_EVEN, FrontRows, verdict
from benchmarks.markup import filled
from lesa_framework.measure.intervals import compared
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


def test_the_readmes_cache_in_yaml_has_the_decibels_of_its_row():
    selection, measured = read_results(front_page.SELECTION), read_results(front_page.PUBLISHED)
    line = next(each for each in measured.of_model("reference:flux") if each.name == "taylorseer1-even10")
    chosen = next(each.rows[0] for each in FrontRows(selection, measured).lines() if each.label == TAYLOR_EVEN)
    order, text = chosen.name.removeprefix("taylorseer")[0], front_page.README.read_text("utf-8")
    assert f"it reaches [{line.psnr_db:.1f} dB]" in text
    assert f'with `order: {order}` it is the line "{TAYLOR_EVEN}"' in text


def test_what_the_page_of_peers_says_of_exponentials_is_what_was_measured():
    measured, found = read_results(front_page.PUBLISHED), {}
    for system, model in zip(SYSTEMS, measured.models, strict=True):
        rows = {each.name: each for each in measured.of_model(system.model)}
        for steps, schedule in (("even", system.even), ("paper", system.paper)):
            dmd, line = (rows[f"cache_dit_mask_{name}-{schedule}"] for name in ("dmd", "taylorseer"))
            found[system.backbone, steps] = compared(dmd, line, model)
    verdicts = {model: {verdict(found[model, steps]) for steps in ("even", "paper")} for model, _ in found}
    assert verdicts == {"flux": {"behind"}, "qwen_image": {"behind"}, "hunyuan_video": {"level"}}
    below = {where: f"{-difference.mean_db:.1f} dB" for where, difference in found.items()}
    assert below["flux", "paper"] == below["qwen_image", "paper"]
    assert (
        f"below the line by {below['flux', 'even']} on FLUX and {below['qwen_image', 'even']} on Qwen-Image, and at "
        f"the paper's schedule by {below['flux', 'paper']} on both"
    ) in (front_page.ROOT / "docs" / "reference" / "peers.md").read_text("utf-8")


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


@pytest.mark.parametrize("plot", [front, quality, pareto])
def test_the_plots_show_what_the_committed_results_say(plot):
    """The light ones; dark ones differ only in colours (tests/benchmarks/test_docs_pictures.py)."""
    measured = read_results(front_page.PUBLISHED)
    shown = FrontRows(read_results(front_page.SELECTION), measured).lines() if plot is front else measured
    written = (front_page.PLOTS / f"{plot.__name__}-light.svg").read_bytes()
    is_new = written == as_svg(plot, shown, THEMES[0])
    assert is_new, "run python -m benchmarks.front_page"


@pytest.mark.parametrize(
    ("name", "changes", "shown"),
    [
        ("ref-flux-lesa-n7", {"family": "lesa"}, "lesa-n7"),
        ("taylorseer1-even10", {"family": "taylorseer"}, "taylorseer1-even10"),
        ("diffusers_magcache_10", {"family": "diffusers_magcache", "kind": Kind.PEER}, "diffusers_magcache"),
        ("fewer_steps_10", {"family": "fewer_steps", "kind": Kind.FEWER_STEPS, "num_steps": 10}, "10 plain steps"),
        ("unipc2_10", {"family": "unipc2", "kind": Kind.FEWER_STEPS, "num_steps": 10}, "10 steps of unipc2"),
    ],
)
def test_short_names(name, changes, shown):
    assert short(row(name, 1.0, **changes)) == shown


def test_plots_are_drawn_for_light_and_dark_pages(tmp_path):
    write_plots(sample_results(), FrontRows(published(), published()).lines(), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(f"{plot}-{theme.name}.svg" for plot in ("front", "pareto", "quality") for theme in THEMES)
    for name in names:
        assert len(list(ET.fromstring((tmp_path / name).read_bytes()).iter())) > 100
    light, dark = ((tmp_path / f"quality-{theme.name}.svg").read_text() for theme in THEMES)
    assert light != dark


def test_the_same_results_make_the_same_bytes():
    first, again = (as_svg(quality, sample_results(), THEMES[0]) for _ in range(2))
    assert first == again
    lines = FrontRows(published(), published()).lines()
    assert as_svg(front, lines, THEMES[0]) == as_svg(front, lines, THEMES[0])
