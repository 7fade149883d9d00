"""The newest features of one branch, in a ring buffer that is allocated once a run."""

from __future__ import annotations

import torch
from torch import Tensor

from lesa_framework.types import EntryInfo, Filter


class History:
    """A ring of `depth` features, newest first.

    Args:
        depth: How many features are kept.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._ring: Tensor | None = None
        self._head = 0  # slot of the newest feature
        self._entries: tuple[EntryInfo, ...] = ()

    @property
    def entries(self) -> tuple[EntryInfo, ...]:
        """What is held, newest first."""
        return self._entries

    @property
    def nbytes(self) -> int:
        """Bytes of the ring."""
        return 0 if self._ring is None else self._ring.nbytes

    def append(self, feature: Tensor, info: EntryInfo) -> None:
        """Take in a feature, dropping the oldest when full."""
        if self._ring is None:
            # Zeros, not garbage: a weight of 0 must give 0 even in slots that were never filled.
            self._ring = feature.new_zeros((self.depth, *feature.shape))
        self._head = (self._head - 1) % self.depth
        self._ring[self._head].copy_(feature)
        self._entries = (info, *self._entries[: self.depth - 1])

    def feature(self, k: int) -> Tensor:
        """The k-th newest feature: a view into the ring, not to be written to."""
        if self._ring is None or k >= len(self._entries):
            raise IndexError(f"history holds {len(self._entries)} features, asked for number {k}")
        return self._ring[(self._head + k) % self.depth]

    def apply(self, filter: Filter) -> Tensor:  # noqa: A002 - the field's word
        """Evaluate an affine filter.

        Returns:
            A tensor with the features' shape and dtype, accumulated in float32 (float64 for float64
            features). A filter that picks one feature returns a view of it, bit for bit.
        """
        taps = [(k, weight) for k, weight in enumerate(filter.weights) if weight != 0.0]
        if filter.bias == 0.0 and len(taps) == 1 and taps[0][1] == 1.0:
            return self.feature(taps[0][0])
        newest = self.feature(0)
        if newest.dtype == torch.float32 and len(taps) > 2:
            return self._single_pass(taps, filter.bias)
        exact = torch.promote_types(newest.dtype, torch.float32)
        total = torch.full_like(newest, filter.bias, dtype=exact)
        for k, weight in taps:
            total.add_(self.feature(k), alpha=weight)
        return total.to(newest.dtype)

    def _single_pass(self, taps: list[tuple[int, float]], bias: float) -> Tensor:
        """One matrix-vector product: the ring is read once, however many taps there are."""
        assert self._ring is not None
        slots = [0.0] * self.depth
        for k, weight in taps:
            slots[(self._head + k) % self.depth] = weight
        flat = self._ring.view(self.depth, -1)
        weights = torch.tensor(slots, dtype=flat.dtype, device=flat.device)
        total = torch.mv(flat.t(), weights)
        return total.add_(bias).view(self._ring.shape[1:])
