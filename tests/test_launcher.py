"""Which of several processes this is, as launchers say it."""

from __future__ import annotations

import pytest

from lesa_framework.launcher import Launch, is_left_alone, launched

TORCHRUN = {
    "RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500",
    "TORCHELASTIC_RESTART_COUNT": "3", "TORCHELASTIC_USE_AGENT_STORE": "True",
}  # fmt: skip


def test_torchrun_says_which_process_this_is():
    assert launched(TORCHRUN) == Launch(1, 2, "localhost", "29500", "3", True)
    by_hand = {key: value for key, value in TORCHRUN.items() if not key.startswith("TORCHELASTIC")}
    assert launched(by_hand) == Launch(1, 2, "localhost", "29500", "0", False)


@pytest.mark.parametrize(
    "change", [{"WORLD_SIZE": "1"}, {"WORLD_SIZE": "two"}, {"RANK": ""}, {"MASTER_ADDR": ""}, {"MASTER_PORT": ""}]
)
def test_anything_less_is_one_process(change):
    assert launched(TORCHRUN | change) is None


def test_a_launcher_may_start_one_process_of_the_several_that_it_was_asked_for():
    where = {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    assert is_left_alone(where)
    assert not is_left_alone(TORCHRUN)
    assert not is_left_alone({})
