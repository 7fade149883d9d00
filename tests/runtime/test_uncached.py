from __future__ import annotations

import pytest

from lesa_framework import ConfigError, RunInfo, Tap
from lesa_framework.runtime.uncached import WhereItFits
from lesa_framework.testing import even_grid


class Refusing:
    """A source that no run fits."""

    def for_run(self, run):
        raise ConfigError("not for this.")


@pytest.mark.parametrize(
    ("sigmas", "begin", "run"),
    [(even_grid(8), 0, "a run of 8 steps"), (even_grid(8), 3, "a run of 5 steps"), ((), 0, "a run")],
    ids=["whole", "later", "unknown"],
)
def test_a_run_that_does_not_fit_is_told_of_once_with_its_length_if_that_is_known(sigmas, begin, run):
    told: list[str] = []
    source = WhereItFits(Refusing(), told.append)
    for _ in range(2):
        strategy = source.for_run(RunInfo(sigmas, "tiny", Tap.PRE_HEAD, begin=begin))
        assert strategy.choice.reason == "not for this."
    assert told == [f"{run} is computed, every step of it. not for this."]
