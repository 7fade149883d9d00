"""What the engine needs of a history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from torch import Tensor

from lesa_framework.runtime.features.held import Kind
from lesa_framework.runtime.features.weighing import Count
from lesa_framework.types import EntryInfo, Filter, HistoryPlace, HistoryView


class Store(HistoryView, Protocol):
    """A history to which the engine can write, and which checks what its filters make."""

    @property
    def kind(self) -> Kind:
        """Shape, dtype and device of the features as they came."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""

    def predict(self, filter: Filter, *, check: bool) -> tuple[Tensor, Count]:  # noqa: A002 - the contract's word
        """Evaluate a filter, and replace what is not finite; tells how many values, or None if nobody looked."""

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
