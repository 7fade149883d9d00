"""A history that keeps gradients: a list in place of a ring that is written over."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from lesa_framework.runtime.features.filters import check_count
from lesa_framework.runtime.features.held import kind_of, storable
from lesa_framework.runtime.features.history import History
from lesa_framework.runtime.features.packing import EIGHT_BITS, as_packed
from lesa_framework.runtime.features.weighing import Count
from lesa_framework.types import AS_MADE, EntryInfo, Filter, HistoryPlace, HistoryView


class GraphHistory(History):
    """The newest `depth` features, each with its graph; filters are differentiable in features and numbers."""

    def __init__(
        self, depth: int, place: HistoryPlace = AS_MADE, branches: Mapping[str, HistoryView] = MappingProxyType({})
    ) -> None:
        super().__init__(depth, place, branches)
        self._features: list[Tensor] = []

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(feature.nbytes for feature in self._features)

    def append(self, feature: Tensor, info: EntryInfo) -> None:
        """Append a feature, dropping the oldest when full."""
        self._kind = kind_of(feature)
        if self._place.dtype is EIGHT_BITS:
            kept = as_packed(feature).to(device=self._place.device)
        else:
            kept = storable(feature, self._place.dtype).to(device=self._place.device, dtype=self._place.dtype)
        self._features = [kept, *self._features[: self.depth - 1]]
        self._entries = (info, *self._entries[: self.depth - 1])

    def free(self) -> None:
        """Drop all features; graphs keep what they need."""
        super().free()
        self._features = []

    def _held(self, k: int) -> Tensor:
        return self._features[k]

    def predict(self, filter: Filter, *, check: bool) -> tuple[Tensor, Count]:  # noqa: A002, ARG002 - the base's
        """Evaluate a filter; nobody looks whether the result is finite."""
        weights, bias = filter.weights, filter.bias
        if filter.others or isinstance(weights, Tensor) or isinstance(bias, Tensor):
            return super().predict(filter, check=False)[0], None
        check_count(weights, self._entries, "")
        newest = self.feature(0)
        wide = torch.promote_types(newest.dtype, torch.float32)
        total = newest.new_full((), bias, dtype=wide)
        for k, weight in enumerate(weights):
            total = total + weight * self.feature(k).to(wide)
        return total.to(newest.dtype).expand_as(newest), None
