"""Numbers of branches that a host names."""

from __future__ import annotations

import torch

from lesa_framework import HostCall
from lesa_framework.runtime.calls.call import Call
from lesa_framework.runtime.calls.told import HostTracker


def numbers(tracker, *branches, sequence=(), index=0):
    told = HostCall("run", (1.0, 0.5, 0.0), index, branches, sequence)
    found = tracker.positions(Call(torch.zeros(1), None, 1.0, told=told)).parts
    return {part.branch: part.branch_index for part in found}


def test_names_are_numbered_by_the_sequence_and_then_as_they_come():
    tracker = HostTracker()
    assert numbers(tracker, "uncond", "other", "cond", sequence=("cond", "uncond")) == {
        "uncond": 1,
        "other": 2,
        "cond": 0,
    }


def test_a_second_prompt_or_call_has_the_number_of_the_first():
    tracker = HostTracker()
    sequence = ("cond", "uncond")
    assert numbers(tracker, "uncond", "cond.2", "cond", sequence=sequence) == {"uncond": 1, "cond.2": 0, "cond": 0}
    assert numbers(tracker, "cond", "uncond", "cond.2", sequence=sequence) == {
        "cond#2": 0,
        "uncond#2": 1,
        "cond.2#2": 0,
    }
    assert numbers(tracker, "picture.2", "picture", sequence=sequence) == {"picture.2": 2, "picture": 3}
