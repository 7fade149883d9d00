from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lesa_framework import Decision
from lesa_framework.runtime import stopwatch
from lesa_framework.runtime.stopwatch import Stopwatch

CPU = torch.device("cpu")
COMPUTE, PREDICT = Decision.COMPUTE, Decision.PREDICT


def timed(monkeypatch, *calls):
    """A stopwatch after calls of so many seconds each."""
    now = [0.0]
    monkeypatch.setattr(stopwatch, "perf_counter", lambda: now[0])
    watch = Stopwatch()
    for decision, seconds in calls:
        watch.start(CPU)
        now[0] += seconds
        watch.stop(decision)
        now[0] += 100.0  # the sampler's own time does not count
    return watch


def test_what_predicting_saved(monkeypatch):
    calls = [(COMPUTE, 9.0), (PREDICT, 0.5), (PREDICT, 1.5), (COMPUTE, 4.0), (COMPUTE, 3.0), (PREDICT, 1.0)]
    assert timed(monkeypatch, *calls).saved() == 3 * (4.0 - 1.0)


@pytest.mark.parametrize("decision", list(Decision))
def test_nothing_is_known_of_one_sort_alone(monkeypatch, decision):
    assert timed(monkeypatch, (decision, 1.0)).saved() is None
    assert Stopwatch().saved() is None


def test_a_call_that_fails_is_not_counted(monkeypatch):
    watch = timed(monkeypatch, (COMPUTE, 3.0), (PREDICT, 1.0))
    watch.start(CPU)
    watch.start(CPU)
    watch.stop(PREDICT)
    assert watch.saved() == 2 * (3.0 - 0.5)


def test_devices_on_which_the_time_of_a_call_is_unknown():
    watch = Stopwatch()
    for decision in (COMPUTE, PREDICT):
        watch.start(torch.device("meta"))
        watch.stop(decision)
    assert watch.saved() is None


def test_a_gpu_is_not_waited_for(monkeypatch):
    marks = []

    class Event:
        def __init__(self, *, enable_timing):
            assert enable_timing

        def record(self, stream):
            assert stream == "of cuda:1"  # where the model is, whichever device is the current one
            self.at = len(marks)
            marks.append(self)

        def query(self):
            return self.at < 6  # it has not come to the last call yet

        def elapsed_time(self, other):
            return 1000.0 * (other.at - self.at) * (3 if self.at < 4 else 1)

    monkeypatch.setattr(torch, "cuda", SimpleNamespace(Event=Event, current_stream=lambda place: f"of {place}"))
    watch = Stopwatch()
    for decision in (COMPUTE, COMPUTE, PREDICT, PREDICT):
        watch.start(torch.device("cuda:1"))
        watch.stop(decision)
    assert watch.saved() == 2 * (3.0 - 1.0)
