"""How far a measurement is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias


class Progress(Protocol):
    """Shows how far a measurement is."""

    def expect(self, steps: int) -> None:
        """The measurement makes this many steps of the sampler in all."""

    def step(self, method: str) -> None:
        """A method made a step."""


#: Opens the progress of one model's part of the work, from a title.
OpenProgress: TypeAlias = Callable[[str], AbstractContextManager[Progress]]
