"""The progress of a measurement."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias


class Progress(Protocol):
    """Shows the progress of a measurement."""

    def expect(self, steps: int) -> None:
        """Set the total number of sampler steps of the measurement."""

    def step(self, method: str) -> None:
        """Count one step of a method."""


#: Opens the progress display of one model, from a title.
OpenProgress: TypeAlias = Callable[[str], AbstractContextManager[Progress]]
