"""What a history holds: its entries, whatever becomes of the features."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor

from lesa_framework.types import AS_MADE, EntryInfo, HistoryPlace, HistoryView

#: Shape, dtype and device of a feature.
Kind: TypeAlias = tuple[torch.Size, torch.dtype, torch.device]

#: Features that a deep history has places for when its run begins.
_FIRST_PLACES = 8


def places(depth: int, count: int, place: HistoryPlace = AS_MADE) -> int:
    """How many features a history has places for once it holds some.

    Some predictors read all computed features, however many they are. So places beyond the first eight are made one by
    one, as a run needs them. On another device all are made at once, because copies may be on their way there.

    Args:
        depth: The most features that are held.
        count: How many are held now.
        place: Where.
    """
    return min(depth, max(_FIRST_PLACES, count)) if place.device is None else depth


def kind_of(feature: Tensor) -> Kind:
    """The feature's shape, dtype and device."""
    return feature.shape, feature.dtype, feature.device


def storable(feature: Tensor, dtype: torch.dtype | None) -> Tensor:
    """The feature; for a float16 history in float16, where what is out of range becomes the largest finite number."""
    if dtype is not torch.float16 or feature.dtype is torch.float16:
        return feature
    largest = torch.finfo(torch.float16).max
    return feature.to(torch.float16).clamp(-largest, largest)  # in bfloat16 the bound itself would round to infinity


class Held:
    """The entries of the newest features of one branch, newest first, and the kind that all of these have.

    Args:
        depth: How many features are held.
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
        self._entries: tuple[EntryInfo, ...] = ()

    @property
    def entries(self) -> tuple[EntryInfo, ...]:
        """What is held, newest first."""
        return self._entries

    @property
    def kind(self) -> Kind:
        """Shape, dtype and device of the features as they came, and as they are given back."""
        if self._kind is None:
            raise IndexError("history holds 0 features")
        return self._kind

    def free(self) -> None:
        """Drop all features, and free their memory; new ones may come."""
        self._kind, self._entries = None, ()

    def _others(self) -> dict[str, HistoryView]:
        """The histories of other branches that hold something."""
        own: object = self  # what adds up features is for those that derive from this
        return {name: each for name, each in self.branches.items() if each is not own and each.entries}
