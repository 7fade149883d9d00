"""What the engine tells of a run: its time, what is fixed in it, and what its history holds."""

from __future__ import annotations

import torch

from lesa_framework import Reuse, RunInfo, Strategy, Tap
from lesa_framework.runtime.calls.tracking import Position
from lesa_framework.runtime.engine import Engine
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from tests.runtime.loop import GRID, Sum, drive, engine


def test_the_seconds_of_a_run_are_from_its_first_call_to_the_end_of_the_last(monkeypatch):
    clock = iter([100.0, 103.0, 107.5, 200.0, 201.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    engine_ = engine(Reuse())
    drive(engine_, [0])
    assert engine_.report.seconds == 3.0
    drive(engine_, [1], first=False)
    assert engine_.report.seconds == 7.5
    drive(engine_, [0])
    assert engine_.report.seconds == 1.0


def test_a_run_is_described_by_its_first_call():
    seen = []

    class Watch(Recorder):
        def lesa_run_start(self, run):
            seen.append(run)

    loop = Engine(Strategy(ComputeSteps(), EqualStages(), Reuse()), "flux", Tap.POST_NORM, [Watch()])
    latent = torch.zeros(2, 3, 5)
    loop.end(loop.begin(Position(True, GRID, 0, "a", 0), latent, lambda: 3.5), latent)
    assert seen == [RunInfo(GRID.sigmas, "flux", Tap.POST_NORM, (), (3, 5), 3.5)]
    assert loop.report.info == seen[0]


def test_a_history_tells_predictions_from_computed_features():
    seen = []

    class Looks(Sum):
        def filter(self, entries, ctx):
            seen.append([(entry.step, entry.computed) for entry in entries])
            return super().filter(entries, ctx)

    drive(engine(Looks()), range(4))
    assert seen == [[(1, True), (0, True)], [(2, False), (1, True), (0, True)]]


def test_branches_whose_features_have_other_shapes_do_not_see_each_other_though_their_latents_are_alike():
    seen, lengths = [], {"a": 3, "b": 4, "c": 3}

    class Looks(Reuse):
        def filter(self, entries, ctx):
            seen.append((ctx.branch, set(ctx.others)))
            return super().filter(entries, ctx)

    loop, latent = engine(Looks(), computed=(0,)), torch.zeros(1, 2)
    for step in range(2):
        for branch, length in lengths.items():
            work = loop.begin(Position((step, branch) == (0, "a"), GRID, step, branch, 0), latent)
            feature = work.prediction if step else loop.computed(work, torch.zeros(1, length))
            loop.end(work, feature)
    assert seen == [("a", {"c"}), ("b", set()), ("c", {"a"})]
