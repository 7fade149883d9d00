"""The page on scale says what the simulation says."""

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks import scale_page
from benchmarks.front_plots import THEMES
from benchmarks.markup import filled
from examples.serving_simulation import ASSUMPTIONS, read_assumptions


@pytest.fixture(scope="module")
def told():
    return read_assumptions(ASSUMPTIONS)


@pytest.fixture(scope="module")
def every(told):
    return scale_page.measure(*told)


@pytest.fixture(scope="module")
def sections(told, every):
    return scale_page.sections(told[0], every)


def test_the_page_says_what_the_simulation_says(sections):
    text = scale_page.PAGE.read_text("utf-8")
    assert filled(text, sections) == text, "run python -m benchmarks.scale_page"


def test_the_plots_that_the_page_shows_are_there():
    shown = re.findall(r"\(\.\./images/([^)]+\.svg)#", scale_page.PAGE.read_text("utf-8"))
    assert sorted(shown) == sorted(f"scale-{theme.name}.svg" for theme in THEMES)
    assert all((scale_page.PLOTS / name).is_file() for name in shown)


def test_the_plot_is_that_of_the_simulation_for_light_and_dark_pages(every, tmp_path):
    scale_page.write_plot(every, tmp_path)
    light, dark = ((tmp_path / f"scale-{theme.name}.svg").read_bytes() for theme in THEMES)
    assert len(list(ET.fromstring(light).iter())) > 100
    assert light != dark
    stale = [
        path.name for path in tmp_path.iterdir() if path.read_bytes() != (scale_page.PLOTS / path.name).read_bytes()
    ]
    assert stale == [], "run python -m benchmarks.scale_page"


def test_what_the_prose_claims_is_so(told, every, sections):
    for each in every:
        gain = each.system.cached.capacity() / each.system.uncached.capacity()
        for bare, cached in zip(each.uncached, each.cached, strict=True):
            assert cached.arrivals_per_minute / bare.arrivals_per_minute == pytest.approx(gain)
            assert bare.p99 / cached.p99 == pytest.approx(gain), "everything is shorter by the ratio of run times"
    rows = [line.strip("| ").split(" | ") for line in sections["batches"].splitlines()[2:]]
    (alone, together, joining, gated), shared = rows[:4], rows[4:]
    tails = [float(row[-1]) for row in (alone, together, joining)]
    assert tails[0] == min(tails), "one by one is best where a GPU is full with one"
    assert int(shared[1][3]) > int(alone[3]), "batches raise what the GPUs can do where calls share work"
    assert float(shared[2][-1]) < float(shared[1][-1]), "joining shortens the tail"
    assert float(shared[2][-2]) > float(shared[1][-2]), "and makes the median longer"
    assert gated[-1] == shared[3][-1] == "grows"
    assert float(gated[2]) - float(alone[2]) > 0.45 * (50 - float(alone[2])), "most of the steps"
