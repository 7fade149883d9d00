"""A history that keeps gradients: a list in place of a ring that is written over."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from lesa_framework.runtime.filters import apply_general
from lesa_framework.runtime.history import Kind, kind_of
from lesa_framework.types import AS_MADE, EntryInfo, Filter, HistoryPlace, HistoryView


class GraphHistory:
    """The newest `depth` features, each with its graph.

    Args:
        depth: How many features are kept.
        place: Where they are kept, and in which dtype; by default as they come.
        branches: The histories of all branches, for filters that read others.
    """

    def __init__(
        self,
        depth: int,
        place: HistoryPlace = AS_MADE,
        branches: Mapping[str, HistoryView] = MappingProxyType({}),
    ) -> None:
        self.depth, self.branches = depth, branches
        self._place = place
        self._kind: Kind | None = None
        self._features: list[Tensor] = []
        self._entries: tuple[EntryInfo, ...] = ()

    @property
    def entries(self) -> tuple[EntryInfo, ...]:
        """What is held, newest first."""
        return self._entries

    @property
    def kind(self) -> Kind:
        """Shape, dtype and device of the newest feature as it came, and as all are given back."""
        if self._kind is None:
            raise IndexError("history holds 0 features")
        return self._kind

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(feature.nbytes for feature in self._features)

    def append(self, feature: Tensor, info: EntryInfo) -> None:
        """Take in a feature, dropping the oldest when full."""
        self._kind = kind_of(feature)
        kept = feature.to(device=self._place.device, dtype=self._place.dtype)
        self._features = [kept, *self._features[: self.depth - 1]]
        self._entries = (info, *self._entries[: self.depth - 1])

    def feature(self, k: int) -> Tensor:
        """The k-th newest feature."""
        _, dtype, device = self.kind
        return self._features[k].to(device=device, dtype=dtype)

    def apply(self, filter: Filter) -> Tensor:  # noqa: A002 - the field's word
        """Evaluate an affine filter, differentiably in the features and in the filter's tensors.

        Raises:
            PluginContractError: The filter does not fit the features that are held.
        """
        weights, bias = filter.weights, filter.bias
        if filter.others or isinstance(weights, Tensor) or isinstance(bias, Tensor):
            return apply_general(filter, self)
        newest = self.feature(0)
        total = newest.new_full((), bias)
        for k, weight in enumerate(weights):
            total = total + weight * self.feature(k)
        return total.expand_as(newest)
