"""Breaks off runs of a model when their time is over."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from lesa_framework.errors import PeerError


@dataclass
class TimeLimit:
    """A limit at work.

    Attributes:
        seconds: How long runs may take together.
        passed: Whether a run was broken off.
    """

    seconds: float
    passed: bool = False


@contextmanager
def time_limit(model: nn.Module, seconds: float) -> Iterator[TimeLimit]:
    """Inside, a call of the model raises once the time is over.

    A GPU is given work only a little ahead, so the clock of the CPU is good enough.

    Args:
        model: The model.
        seconds: From now; infinite for no limit.
    """
    limit, until = TimeLimit(seconds), time.monotonic() + seconds

    def check(*_: object) -> None:
        if time.monotonic() > until:
            limit.passed = True
            raise PeerError(f"the search took longer than {seconds:.0f} s")

    handle = None if math.isinf(seconds) else model.register_forward_pre_hook(check)
    try:
        yield limit
    finally:
        if handle is not None:
            handle.remove()
