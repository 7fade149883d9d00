"""A history that keeps gradients: a list in place of a ring that is written over."""

from __future__ import annotations

from torch import Tensor

from lesa_framework.types import EntryInfo, Filter


class GraphHistory:
    """The newest `depth` features, each with its graph.

    Args:
        depth: How many features are kept.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._features: list[Tensor] = []
        self._entries: tuple[EntryInfo, ...] = ()

    @property
    def entries(self) -> tuple[EntryInfo, ...]:
        """What is held, newest first."""
        return self._entries

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(feature.nbytes for feature in self._features)

    def append(self, feature: Tensor, info: EntryInfo) -> None:
        """Take in a feature, dropping the oldest when full."""
        self._features = [feature, *self._features[: self.depth - 1]]
        self._entries = (info, *self._entries[: self.depth - 1])

    def feature(self, k: int) -> Tensor:
        """The k-th newest feature."""
        return self._features[k]

    def apply(self, filter: Filter) -> Tensor:  # noqa: A002 - the field's word
        """Evaluate an affine filter, differentiably in the features."""
        total = self._features[0].new_full((), filter.bias)
        for k, weight in enumerate(filter.weights):
            total = total + weight * self._features[k]
        return total.expand_as(self._features[0])
