from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from benchmarks import docs_pictures, trajectory
from benchmarks.front_page import PLOTS
from benchmarks.front_plots import THEMES

RUNS = json.loads(trajectory.FILE.read_text("utf-8"))["runs"]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_the_pictures_are_those_that_the_script_draws(theme):
    for name, content in docs_pictures.pictures(theme).items():
        ET.fromstring(content)
        written = (PLOTS / f"{name}-{theme.name}.svg").read_bytes()
        assert len(written) == len(content), "run python -m benchmarks.docs_pictures"


def test_the_measured_trajectories_are_what_the_page_says():
    uncached, few, more = RUNS.values()
    assert [run["plan"].count("F") for run in (uncached, few, more)] == [50, 5, 10]
    assert set(uncached["away"]) == {0.0}
    assert few["away"][0] == more["away"][0] == 0.0
    assert few["away"][-1] > more["away"][-1] > 0.1
    assert uncached["points"][0][0] < uncached["points"][-1][0]
