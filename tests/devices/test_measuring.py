"""Two processes measure together what one measures alone."""

from __future__ import annotations

import json

import pytest

from tests.devices.measuring import same

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("command", ["eval", "bench"])
def test_results_of_both_are_those_of_one(outcomes, folder, command):
    assert [outcome["measuring"][command]["code"] for outcome in outcomes] == [0, 0]
    both, alone = (same(folder / f"{who}.{command}.json") for who in ("both", "alone0"))
    assert both == alone  # each batch is one process's, so that not even a score is rounded otherwise
    rows = both["rows"]
    assert all(row["psnr_db"] is not None for row in rows if row["kind"] == "cache")


def test_times_say_that_both_measured_at_once(outcomes, folder):
    results = json.loads((folder / "both.bench.json").read_text("utf-8"))
    assert results["environment"]["processes"] == "2"
    assert any("2 processes measured at once" in note for note in results["notes"])
    assert all(row["speedup"] is not None for row in results["rows"])
    alone = json.loads((folder / "alone0.bench.json").read_text("utf-8"))
    assert "processes" not in alone["environment"]


def test_the_first_alone_prints(outcomes):
    first, second = (outcome["measuring"] for outcome in outcomes)
    assert "fewer_steps_4" in first["eval"]["out"]
    assert "wrote" in first["bench"]["err"]
    assert "nothing is left to do" in first["bench again"]["err"]
    assert "1 batch for 2 processes" in first["few"]["err"]
    for name in ("eval", "bench", "bench again", "few", "resumed"):
        assert (second[name]["out"], second[name]["err"], second[name]["code"]) == ("", "", 0)


def test_what_one_process_stops_is_resumed_by_both(outcomes, folder):
    first, second = (outcome["measuring"] for outcome in outcomes)
    assert [first["stopped"]["code"], second["stopped"]["code"]] == [1, 1]
    assert "batch 1 failed" in first["stopped"]["err"]
    assert "resuming an earlier run" in first["resumed"]["err"]
    assert same(folder / "stopped.bench.json") == same(folder / "alone0.bench.json")
    assert not (folder / "stopped.bench.cells").exists()


def test_other_arguments_are_refused_by_both(outcomes):
    for outcome in outcomes:
        assert outcome["measuring"]["other"]["code"] == 2
        assert "do not measure the same" in outcome["measuring"]["other"]["err"]
