"""The newest features of one branch, in a ring buffer that is allocated once a run."""

from __future__ import annotations

import torch
from torch import Tensor

from lesa_framework.errors import PluginContractError
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
        """Take in a feature without its graph, dropping the oldest when full.

        A feature of another shape, dtype or device cannot be mixed with the older ones: they are dropped.
        """
        ring = self._ring
        if ring is None or (ring.shape[1:], ring.dtype, ring.device) != (feature.shape, feature.dtype, feature.device):
            # Outside of inference mode, so that a run may leave it. Zeros, not garbage: a weight of 0 must give 0
            # even in slots that were never filled.
            with torch.inference_mode(False):
                ring = torch.zeros((self.depth, *feature.shape), dtype=feature.dtype, device=feature.device)
            self._ring, self._entries = ring, ()
        self._head = (self._head - 1) % self.depth
        ring[self._head].copy_(feature.detach())
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

        Raises:
            PluginContractError: The filter has more weights than there are features.
        """
        if len(filter.weights) > len(self._entries):
            raise PluginContractError(
                f"The predictor's filter has {len(filter.weights)} weights, but the history holds "
                f"{len(self._entries)} features. Return at most one for each entry, or raise min_history."
            )
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
