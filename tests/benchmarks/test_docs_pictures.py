from __future__ import annotations

import json
import re
from dataclasses import fields

import pytest

from benchmarks import docs_pictures, trajectory
from benchmarks.front_page import PLOTS
from benchmarks.front_plots import THEMES, Theme

RUNS = json.loads(trajectory.FILE.read_text("utf-8"))["runs"]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_the_pictures_are_those_that_the_scripts_draw(theme):
    made = docs_pictures.pictures(theme)
    written = {name: (PLOTS / f"{name}-{theme.name}.svg").read_bytes() for name in made}
    stale = [name for name, content in made.items() if written[name] != content]
    assert stale == [], "run python -m benchmarks.docs_pictures"


def in_words(name: str, theme: Theme) -> str:
    """A picture with the names of its colours in place of them; ids of markers, which follow from colours, are gone."""
    text = re.sub(r"\bm[0-9a-f]{10}\b", "", (PLOTS / f"{name}-{theme.name}.svg").read_text("utf-8"))
    for field in fields(theme):
        if field.name != "name":
            text = text.replace(getattr(theme, field.name), field.name)
    return text


def test_a_dark_picture_is_the_light_one_in_other_colours():
    light, dark = THEMES
    names = {path.name.removesuffix("-light.svg") for path in PLOTS.glob("*-light.svg")} - {"rooms"}  # drawn by hand
    assert names > {"front", "quality", "pareto"}
    assert [name for name in names if in_words(name, light) != in_words(name, dark)] == []


def test_the_measured_trajectories_are_what_the_page_says():
    uncached, few, more = RUNS.values()
    assert [run["plan"].count("F") for run in (uncached, few, more)] == [50, 5, 10]
    assert set(uncached["away"]) == {0.0}
    assert few["away"][0] == more["away"][0] == 0.0
    assert few["away"][-1] > more["away"][-1] > 0.1
    assert uncached["points"][0][0] < uncached["points"][-1][0]
