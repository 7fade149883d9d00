"""Two processes fit together what one fits alone, and neither waits for ever."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.devices.fitting import CONFIGS, FITS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", FITS)
def test_a_fit_of_both_is_that_of_one(outcomes, name):
    both, other = (outcome["fits"][f"{name}, both"] for outcome in outcomes)
    alone = outcomes[0]["fits"][f"{name}, alone"]
    assert both == other
    torch.testing.assert_close(torch.tensor(both["table"]), torch.tensor(alone["table"]), atol=1e-6, rtol=1e-6)
    assert both["drift_db"] == pytest.approx(alone["drift_db"], abs=1e-3)


def test_each_has_its_share_of_a_batch(outcomes):
    assert [outcome["shares"]["several"] for outcome in outcomes] == [
        [["a"], [1], pytest.approx(1 / 3)],
        [["b", "c"], [2, 3], pytest.approx(2 / 3)],
    ]
    assert sorted(outcome["shares"]["single"] for outcome in outcomes) == [[["a"], 0.0], [["a"], 1.0]]


def test_what_is_exchanged_is_the_same_in_both(outcomes):
    for outcome in outcomes:
        found = outcome["shares"]
        assert found["rows"] == [[2.0], [2.0]]  # the first process has none
        assert found["sum"] == [1, 2]
        assert found["mean"] == 3.0
        assert found["gradient"] == pytest.approx([1 / 3 + 4 / 3, 2 / 3 + 8 / 3])
        assert found["same"] == [True, False]


def test_one_that_ends_or_is_silent_ends_the_other(outcomes):
    for error in (outcomes[0]["silent"]["error"], outcomes[0]["ended"]["error"]):
        assert error.startswith("process 0 of 2: another process has ended or does not answer")


def test_a_search_of_both_is_that_of_one(outcomes, folder):
    assert [outcome["command"]["search"]["code"] for outcome in outcomes] == [0, 0]
    both, alone = (json.loads((folder / who / "found.search.json").read_text("utf-8")) for who in ("both", "alone0"))
    assert [each["steps"] for each in both["tried"]] == [each["steps"] for each in alone["tried"]]
    for part in ("tried", "compared"):
        for one, other in zip(both[part], alone[part], strict=True):
            assert one["db"] == pytest.approx(other["db"], abs=1e-3)


@pytest.mark.parametrize("name", [*CONFIGS, "found"])
def test_the_command_writes_the_same_file(outcomes, folder, name):
    command = "search" if name == "found" else name
    assert [outcome["command"][command]["code"] for outcome in outcomes] == [0, 0]
    both, alone = (load_file(folder / who / f"{name}.safetensors") for who in ("both", "alone0"))
    for tensor, wanted in alone.items():
        torch.testing.assert_close(both[tensor], wanted, atol=1e-6, rtol=1e-6)


def test_the_first_alone_prints(outcomes):
    first, second = (outcome["command"] for outcome in outcomes)
    assert "wrote" in first["fitted"]["out"]
    assert "100% greedy" in first["fitted"]["err"]
    assert "nothing is left to do" in first["again"]["err"]
    assert "the best of 3 tried" in first["search"]["out"]
    for name in (*CONFIGS, "again", "search"):
        assert (second[name]["out"], second[name]["err"]) == ("", "")


def test_other_arguments_are_refused_by_both(outcomes):
    for outcome in outcomes:
        assert outcome["command"]["other"]["code"] == 2
        assert "do not make the same fit" in outcome["command"]["other"]["err"]
