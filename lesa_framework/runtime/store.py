"""What the engine needs of a history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from torch import Tensor

from lesa_framework.runtime.predicting import Filtered
from lesa_framework.types import EntryInfo, HistoryPlace, HistoryView


class Store(Filtered, Protocol):
    """A history to which the engine can write."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""

    def append(self, feature: Tensor, info: EntryInfo) -> None:
        """Append a feature."""

    def free(self) -> None:
        """Drop all features, and free their memory."""

    def showing(self, feature: Tensor) -> AbstractContextManager[None]:
        """Within it, entry 0 is read as this very feature."""

    def expect(self, wanted: Iterable[int]) -> None:
        """Prepare for these entries to be read next, and no others."""


#: Makes a branch's history: (depth, where to keep it, the histories of all branches) -> an empty one.
NewHistory: TypeAlias = Callable[[int, HistoryPlace, Mapping[str, HistoryView]], Store]
