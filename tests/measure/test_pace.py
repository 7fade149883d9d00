from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lesa_framework.measure import pace
from lesa_framework.measure.lineup import Contender, fewer_steps
from lesa_framework.measure.pace import Effort, Pace, effort_of, warmed_up
from lesa_framework.measure.results import Kind, Pair
from lesa_framework.measure.subject import Subject
from lesa_framework.types import Samples

CACHE = Contender("a", Kind.CACHE, "reuse", nfe=10, num_steps=50)
PAIRS = [Pair(prompt="a", seed=0), Pair(prompt="b", seed=1)]


class Clocked(Subject):
    """The first step takes 9 s, others 4 s, and decoding 6 s."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
        self.now, self.steps = 0.0, steps
        monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def generate(self, num_steps: int, group: Any, on_step: Any) -> Samples:
        for index in range(min(num_steps, self.steps)):
            self.now += 4.0 if index else 9.0
            on_step(index)
        self.now += 6.0
        return Samples(*[None] * 2)  # type: ignore[arg-type]


def test_slow_first_steps_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert warmed_up(Clocked(monkeypatch, 9), PAIRS) == Pace(step=2.0, sample=3.0)


def test_a_sampler_of_one_step_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert warmed_up(Clocked(monkeypatch, 1), PAIRS).seconds(Effort(10, 10)) == 0.0


def test_predicted_steps_are_cheap_and_plain_ones_are_not() -> None:
    assert effort_of(CACHE, 2).steps == pytest.approx(2 * (10 + 0.03 * 40))
    assert effort_of(fewer_steps(10), 2) == Effort(20.0, 2)
    assert effort_of(replace(CACHE, nfe=None), 2).steps == 100, "a gate may compute every step"


def test_time_is_told_with_a_margin() -> None:
    found = Pace(step=2.0, sample=3.0).seconds(Effort(10.0, 4) + Effort(5.0, 1))
    assert 45 < found < 60
