"""A history that knows what it would hold, and holds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lesa_framework.runtime.features.filters import check_fits_history
from lesa_framework.runtime.features.held import Held, kind_of, places
from lesa_framework.runtime.features.weighing import Count
from lesa_framework.types import EntryInfo, Filter


class SizedHistory(Held):
    """The entries and the bytes of a [`History`][lesa_framework.runtime.features.history.History]; it gives only zeros.

    Args:
        depth: How many features are counted.
        place: Its dtype is counted.
        branches: The histories of all branches.
    """

    @property
    def nbytes(self) -> int:
        """Bytes that the ring would have."""
        if self._kind is None:
            return 0
        shape, dtype, _ = self._kind
        count = places(self.depth, len(self._entries), self._place)
        return count * shape.numel() * (self._place.dtype or dtype).itemsize

    def append(self, feature: Tensor, info: EntryInfo) -> None:
        """Count a feature."""
        kind = kind_of(feature)
        if kind != self._kind:
            self._kind, self._entries = kind, ()
        self._entries = (info, *self._entries[: self.depth - 1])

    @contextmanager
    def showing(self, feature: Tensor) -> Iterator[None]:  # noqa: ARG002 - all features are zero
        """Nothing changes."""
        yield

    def expect(self, wanted: Iterable[int]) -> None:
        """Nothing has to be prepared."""

    def feature(self, k: int) -> Tensor:  # noqa: ARG002 - all features are zero
        """Zeros like a feature, or a tensor without data where the features have none."""
        shape, dtype, device = self.kind
        return torch.zeros((), dtype=dtype, device=device).expand(shape)

    def apply(self, filter: Filter) -> Tensor:  # noqa: A002 - the field's word
        """Zeros like a feature.

        Raises:
            PluginContractError: The filter does not fit the features that are held.
        """
        check_fits_history(filter, self._entries, {name: each.entries for name, each in self._others().items()})
        return self.feature(0)

    def predict(self, filter: Filter, *, check: bool) -> tuple[Tensor, Count]:  # noqa: A002, ARG002 - the contract's
        """Zeros like a feature, all of them finite."""
        return self.apply(filter), 0
