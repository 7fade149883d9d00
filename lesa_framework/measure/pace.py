"""How long a measurement will take on this machine, told before its long part."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.results import Pair
from lesa_framework.measure.subject import Subject

#: Steps of the call that is timed: the first one is slow, and two others give a time.
STEPS = 3
#: For what is not timed beforehand: scores, samples that are made alone, and files.
_MARGIN = 1.25


@dataclass(frozen=True)
class Effort:
    """An amount of work.

    Attributes:
        steps: Uncached steps of one sample; cheaper steps count as a part of one.
        samples: Samples that are decoded.
    """

    steps: float = 0.0
    samples: int = 0

    def __add__(self, other: Effort) -> Effort:
        return Effort(self.steps + other.steps, self.samples + other.samples)


@dataclass(frozen=True)
class Pace:
    """How fast this machine is: seconds for an uncached step of one sample, and for decoding a sample."""

    step: float
    sample: float

    def seconds(self, effort: Effort) -> float:
        """How long an amount of work takes, rather too long than too short."""
        return _MARGIN * (self.step * effort.steps + self.sample * effort.samples)


def effort_of(contender: Contender, samples: int) -> Effort:
    """The work of a method for so many samples."""
    return Effort(contender.share * contender.num_steps * samples, samples)


def warmed_up(subject: Subject, group: Sequence[Pair]) -> Pace:
    """Run the bare model for a few steps, so that its first slow calls belong to no method, and time them."""
    moments: list[float] = []
    subject.generate(STEPS, group, lambda _: moments.append(time.perf_counter()))
    ended = time.perf_counter()
    if len(moments) < 2:  # a sampler may have fewer steps than it was asked for
        return Pace(0.0, 0.0)
    step = (moments[-1] - moments[0]) / (len(moments) - 1)
    return Pace(step / len(group), (ended - moments[-1]) / len(group))
