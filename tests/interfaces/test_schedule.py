from __future__ import annotations

from lesa_framework import Always, SchedulePolicy, StepContext
from lesa_framework.types import Decision


class EveryOther(SchedulePolicy):
    def decide(self, ctx: StepContext) -> Decision:
        return Decision.PREDICT if ctx.index % 2 else Decision.COMPUTE


def test_a_schedule_goes_by_the_grid_alone_unless_it_says_otherwise():
    assert not EveryOther().dynamic
    assert not Always().dynamic


def test_a_schedule_serves_runs_of_every_length_unless_it_says_otherwise():
    EveryOther().check(1)
    EveryOther().check(1000)
