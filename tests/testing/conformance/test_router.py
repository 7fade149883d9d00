"""The suite of routers must find what is wrong: each of these breaks the contract in one way."""

from __future__ import annotations

from typing import Literal

import pytest

from lesa_framework import (
    RouterConfig,
    StageRouter,
)
from lesa_framework.testing import (
    check_router,
)


class OutOfRange(StageRouter):
    num_stages = 2

    def stage(self, sigma):
        return 2 if sigma == 0 else 0


class Drifting(StageRouter):
    num_stages = 1000000

    def __init__(self):
        self.calls = 0

    def stage(self, sigma):
        self.calls += 1
        return self.calls


class NoStages(StageRouter):
    num_stages = 0

    def stage(self, sigma):
        return 0


class Fractional(StageRouter):
    num_stages = 2

    def stage(self, sigma):
        return sigma


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (OutOfRange, "stage 2, valid are 0 to 1"),
        (Drifting, "depends on more than the noise level"),
        (NoStages, "num_stages is 0"),
        (Fractional, "which is not an int"),
    ],
)
def test_routers_that_break_the_contract(made, message):
    class BadConfig(RouterConfig):
        kind: Literal["bad"] = "bad"

        def build(self) -> StageRouter:
            return made()

    with pytest.raises(AssertionError, match=message):
        check_router(BadConfig())
