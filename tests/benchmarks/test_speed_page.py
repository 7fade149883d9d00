"""The page on speed says what the committed files say."""

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks import speed_page
from benchmarks.front_plots import THEMES
from benchmarks.markup import filled
from benchmarks.speed_plot import write_plot
from lesa_framework.measure.results import Kind, Row


def row(work: float) -> Row:
    return Row(model="m", name="peer", kind=Kind.PEER, family="peer", nfe=10, num_steps=50, work=work)


@pytest.fixture(scope="module")
def read():
    return speed_page.read()


def test_the_page_says_what_the_files_say(read):
    text = speed_page.PAGE.read_text("utf-8")
    assert filled(text, speed_page.sections(*read)) == text, "run python -m benchmarks.speed_page"


def test_the_plots_that_the_page_shows_are_there():
    shown = re.findall(r"\(\.\./images/([^)]+\.svg)#", speed_page.PAGE.read_text("utf-8"))
    assert sorted(shown) == sorted(f"speed-{theme.name}.svg" for theme in THEMES)
    for name in shown:
        assert (speed_page.PLOTS / name).is_file()


def test_the_plot_is_that_of_the_files_for_light_and_dark_pages(read, tmp_path):
    write_plot(read[0], tmp_path)
    light, dark = ((tmp_path / f"speed-{theme.name}.svg").read_bytes() for theme in THEMES)
    assert len(list(ET.fromstring(light).iter())) > 100
    assert light != dark
    stale = [
        path.name for path in tmp_path.iterdir() if path.read_bytes() != (speed_page.PLOTS / path.name).read_bytes()
    ]
    assert stale == [], "run python -m benchmarks.speed_page"


def test_what_the_prose_claims_is_so(read):
    every, probe = read
    for results in every:
        rows = {each.name: each for each in results.rows}
        (lesa,) = [name.removesuffix("-unchecked") for name in rows if name.endswith("-unchecked")]
        (plain,) = [each for each in rows.values() if each.kind is Kind.FEWER_STEPS]
        assert rows[lesa].speedup < rows[f"{lesa}-unchecked"].speedup < plain.speedup, "the check costs time"
        beyond = rows[lesa].seconds - plain.seconds
        assert rows[lesa].seconds - rows[f"{lesa}-unchecked"].seconds > 0.5 * beyond, "more than anything else"
        assert rows[lesa].cache_bytes < 0.02 * results.models[0].properties["weights_bytes"]
        whole = results.models[0].details[lesa].split_seconds
        assert whole["stack"] > 0.9 * sum(whole.values())
    shares = [each.speedup * each.nfe / 50 for results in every for each in results.rows if each.kind is Kind.CACHE]
    assert (f"{min(shares):.0%}", f"{max(shares):.0%}") == ("92%", "100%"), "the README says so"
    comparable = [
        each
        for results in every
        for each in results.rows
        if each.kind is Kind.PEER and each.error is None and speed_page.comparable(each) == "yes"
    ]
    assert [each.name for each in comparable] == ["diffusers_taylorseer_lite"], "only one peer did the work"
    assert probe["taylor2_output"]["predicted_ms"] < probe["floor_ms"] < probe["reuse"]["predicted_ms"]


@pytest.mark.parametrize(
    ("work", "said"),
    [(10.0, "yes"), (9.6, "yes"), (8.7, "no: did less"), (13.6, "no: did more")],
)
def test_a_peer_is_comparable_only_at_the_work_that_was_asked_for(work, said):
    assert speed_page.comparable(row(work)) == said
