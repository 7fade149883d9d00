"""The newest features of one branch, in a ring buffer that is freed after the last step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from types import MappingProxyType

import torch
from torch import Tensor

from lesa_framework.runtime.features.filters import Moved, Read, check_fits_history, picked, terms_of
from lesa_framework.runtime.features.held import Held, kind_of, places, storable
from lesa_framework.runtime.features.packing import EIGHT_BITS, packed, unpacked
from lesa_framework.runtime.features.transfers import Away, transfers_between
from lesa_framework.runtime.features.weighing import Count, weigh
from lesa_framework.types import AS_MADE, EntryInfo, Filter, HistoryPlace, HistoryView


def newest_computed(entries: Sequence[EntryInfo]) -> int:
    """The newest entry that the block stack made; the newest of all, if all that is held is predicted."""
    return next((k for k, entry in enumerate(entries) if entry.computed), 0)


class History(Held):
    """A ring of up to `depth` features, newest first.

    Args:
        depth: How many features are kept. The ring has as many [`places`][lesa_framework.runtime.features.held.places]
            as the run has needed.
        place: Where they are kept, and in which dtype; by default as they come. What is read comes back on the
            device and in the dtype of the features, so that each reading from another place is a copy.
        branches: The histories of all branches, for filters that read others.
    """

    def __init__(
        self,
        depth: int,
        place: HistoryPlace = AS_MADE,
        branches: Mapping[str, HistoryView] = MappingProxyType({}),
    ) -> None:
        super().__init__(depth, place, branches)
        self._rings: tuple[Tensor, ...] = ()  # one on a CPU, whose filters read rows of one tensor; else one a slot
        self._slots: tuple[Tensor, ...] = ()  # views of them
        self._away: Away | None = None  # where copies of the ring's slots come and go
        self._scales: dict[int, Tensor] = {}  # of slots with features in eight bits
        self._head = 0  # slot of the newest feature
        self._shown: Tensor | None = None
        self._moved = Moved()

    @property
    def nbytes(self) -> int:
        """Bytes of the ring, and of what was brought back from it."""
        return sum(ring.nbytes for ring in self._rings) + (0 if self._away is None else self._away.nbytes)

    def append(self, feature: Tensor, info: EntryInfo) -> None:
        """Append a feature without its graph, dropping the oldest when full.

        A feature of another shape, dtype or device cannot be mixed with the older ones: they are dropped.
        """
        kind = kind_of(feature)
        if not self._slots or kind != self._kind:
            transfers = transfers_between(self._place.device or feature.device, feature.device)
            self._away = None if transfers is None else Away(transfers, feature.device)
            self._kind, self._entries = kind, ()
            self._take(self._make(places(self.depth, 1, self._place)))
        elif len(self._entries) == len(self._slots) < self.depth:
            self._grow()
        self._head = (self._head - 1) % len(self._slots)
        dtype = self._slots[self._head].dtype
        kept = storable(feature.detach(), dtype)
        if dtype is EIGHT_BITS:
            kept, self._scales[self._head] = packed(kept)
        if self._away is None:
            self._slots[self._head].copy_(kept)
        else:
            self._away.put(self._head, self._slots[self._head], kept)
        self._entries = (info, *self._entries[: self.depth - 1])

    def free(self) -> None:
        """Drop all features, and free their memory; new ones may come."""
        self.expect(())
        super().free()
        self._rings, self._slots, self._scales = (), (), {}

    def _make(self, count: int) -> list[Tensor]:
        """Memory for so many features."""
        shape, dtype, device = self.kind
        where = self._place.device or device
        sizes = [count] if where.type == "cpu" else [1] * count
        # Outside of inference mode, so that a run may leave it. Zeros, not garbage: a weight of 0 must give 0 even in
        # slots that were never filled.
        with torch.inference_mode(False):
            return [
                torch.zeros(
                    (size, *shape),
                    dtype=self._place.dtype or dtype,
                    device=where,
                    pin_memory=self._away is not None and self._away.pinned,
                )
                for size in sizes
            ]

    def _take(self, rings: Sequence[Tensor]) -> None:
        with torch.inference_mode(False):
            self._rings, self._head = tuple(rings), 0
            self._slots = tuple(ring[slot] for ring in rings for slot in range(len(ring)))

    def _grow(self) -> None:
        """Make room for more in a full ring.

        A GPU's memory is not given back at once, so there what is held stays where it is.
        """
        order = [(self._head + k) % len(self._slots) for k in range(len(self._entries))]
        slots, scales, count = self._slots, self._scales, places(self.depth, len(self._slots) + 1, self._place)
        if len(self._rings) > 1:
            self._take([*(self._rings[former] for former in order), *self._make(count - len(slots))])
        else:
            self._take(self._make(count))
            for slot, former in enumerate(order):
                self._slots[slot].copy_(slots[former])
        self._scales = {slot: scales[former] for slot, former in enumerate(order) if former in scales}

    def expect(self, wanted: Iterable[int]) -> None:
        """Begin to bring back the entries that will be read next, where the ring is on the host."""
        if self._away is not None and self._slots:
            slots = [(self._head + k) % len(self._slots) for k in wanted]
            self._away.expect((slot, self._slots[slot]) for slot in slots)

    @contextmanager
    def showing(self, feature: Tensor) -> Iterator[None]:
        """Read the newest feature as it came, with its graph, in place of the copy that is held.

        A correction works on what the model has just computed, whatever was lost in storing it.
        """
        self._shown = feature
        try:
            yield
        finally:
            self._shown = None

    def feature(self, k: int) -> Tensor:
        """The k-th newest feature: a view into the ring, not to be written to; a copy if that is another place."""
        return self._shown if k == 0 and self._shown is not None else self._back(self._held(k))

    def apply(self, filter: Filter) -> Tensor:  # noqa: A002 - the field's word
        """Evaluate an affine filter.

        Returns:
            A tensor with the features' shape, dtype and device, accumulated in float32 (float64 for float64
            features). A filter that picks one feature returns a view of it, bit for bit.

        Raises:
            PluginContractError: The filter does not fit the features that are held.
        """
        return self.predict(filter, check=False)[0]

    def predict(self, filter: Filter, *, check: bool) -> tuple[Tensor, Count]:  # noqa: A002 - the field's word
        """Evaluate an affine filter, and replace what is not finite by the newest computed feature's values.

        Args:
            filter: What to evaluate.
            check: Whether anything is replaced. What is picked as it is held never is.

        Returns:
            As from `apply`, and how many values were replaced; None where nobody looked.

        Raises:
            PluginContractError: The filter does not fit the features that are held.
        """
        others = self._others() if filter.others else {}
        check_fits_history(filter, self._entries, {name: other.entries for name, other in others.items()})
        pick = picked(filter)
        if pick is not None:
            return self.feature(pick), 0 if self._place.dtype is None else None
        # What is shown is not in the ring, and may be on another device.
        read = self._held if self._shown is None else self.feature
        if self._away is not None or self._place.dtype is not None:
            read = cache(read)  # to read is to copy or to unpack
        terms = terms_of(filter, read, others, self.kind[1], self._moved)
        total, count = weigh(terms, partial(self._newest_computed, read) if check else None)
        return self._back(total), count

    def _newest_computed(self, read: Read) -> Tensor:
        return read(newest_computed(self._entries)).to(self.kind[1])

    def _held(self, k: int) -> Tensor:
        if not 0 <= k < len(self._entries):
            raise IndexError(f"history holds {len(self._entries)} features, counted from 0; asked for number {k}")
        slot = (self._head + k) % len(self._slots)
        held = self._slots[slot] if self._away is None else self._away.get(slot, self._slots[slot])
        return unpacked(held, self._scales[slot], self.kind[1]) if held.dtype is EIGHT_BITS else held

    def _back(self, value: Tensor) -> Tensor:
        """The value on the features' device and in their dtype; the same tensor when it is so already."""
        _, dtype, device = self.kind
        return value if value.device == device and value.dtype is dtype else value.to(device=device, dtype=dtype)
