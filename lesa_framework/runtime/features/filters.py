"""Affine filters: whether they fit the histories, and what they add up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor

from lesa_framework.errors import PluginContractError, shown
from lesa_framework.runtime.features.weighing import Numbers, Terms
from lesa_framework.types import EntryInfo, Filter, HistoryView, Weights

#: Returns an entry of a history, counted from the newest.
Read: TypeAlias = Callable[[int], Tensor]


def adds_numbers(filter: Filter) -> bool:  # noqa: A002 - the contract's word
    """Whether a filter adds up the branch's own features with a number for each, and nothing else."""
    return not (filter.others or isinstance(filter.weights, Tensor) or isinstance(filter.bias, Tensor))


def picked(filter: Filter) -> int | None:  # noqa: A002 - the contract's word
    """The entry that a filter returns as it is; None if it adds up."""
    if not adds_numbers(filter) or filter.bias != 0.0:
        return None
    used = [(k, weight) for k, weight in enumerate(filter.weights) if weight != 0.0]
    return used[0][0] if len(used) == 1 and used[0][1] == 1.0 else None


def terms_of(
    filter: Filter,  # noqa: A002 - the contract's word
    read: Read,
    others: Mapping[str, HistoryView],
    dtype: torch.dtype,
    moved: Moved,
) -> Terms:
    """What a filter adds up; entries whose weight is 0 are not read.

    Args:
        filter: A filter that fits the histories.
        read: Reads the branch's own history.
        others: The other branches' histories.
        dtype: Of the result.
        moved: Moves the filter's tensors to the features' device.

    Raises:
        PluginContractError: Its numbers, or another branch's features, do not fit this branch's features.
    """
    newest = read(0)
    if adds_numbers(filter):
        used = [(k, weight) for k, weight in enumerate(filter.weights) if weight != 0.0]
        own, numbers = tuple(read(k) for k, _ in used), tuple(weight for _, weight in used)
        return Terms(own, numbers, filter.bias, newest.shape, dtype, newest.device)
    features: list[Tensor] = []
    weights: list[Numbers] = []
    shape, wide = newest.shape, torch.promote_types(torch.promote_types(newest.dtype, dtype), torch.float32)

    def add(given: Weights, read: Read, where: str) -> None:
        numbers = moved(given, newest.device, wide) if isinstance(given, Tensor) else given
        for k, weight in enumerate(numbers):
            if isinstance(weight, Tensor):
                _check_fits(weight, shape, f"weight {k}{where}")
            if isinstance(weight, Tensor) or weight != 0.0:
                features.append(newest if k == 0 and not where else read(k).to(newest.device))
                weights.append(weight)

    add(filter.weights, read, "")
    for name, given in filter.others.items():
        where, other = _for_branch(name), cache(others[name].feature)
        if other(0).shape != shape:
            raise PluginContractError(
                f"The predictor's filter has weights{where}, whose features are {tuple(other(0).shape)}; "
                f"those of this branch are {tuple(shape)}. Only branches with features of the same shape mix."
            )
        add(given, other, where)
    bias = filter.bias
    if isinstance(bias, Tensor):
        _check_fits(bias, shape, "bias")
        bias = moved(bias, newest.device, wide)
    return Terms(tuple(features), tuple(weights), bias, shape, dtype, newest.device)


def check_fits_history(
    filter: Filter,  # noqa: A002 - the contract's word
    entries: Sequence[EntryInfo],
    others: Mapping[str, Sequence[EntryInfo]],
) -> None:
    """Check a filter against what is held, which a plan knows too.

    Args:
        filter: What to check.
        entries: What the branch's own history holds.
        others: What the other branches with features hold, by name.

    Raises:
        PluginContractError: The filter has more weights than there are features, or names a branch not in `others`.
    """
    check_count(filter.weights, entries, "")
    for name, weights in filter.others.items():
        if name not in others:
            raise PluginContractError(
                f"The predictor's filter has weights{_for_branch(name)}, which is this branch itself or has no "
                f"features yet. Branches that it may name here: {', '.join(others) or 'none'}. "
                "Take the names from ctx.others."
            )
        check_count(weights, others[name], _for_branch(name))


def _for_branch(name: str) -> str:
    return f" for branch '{name}'"


def check_count(weights: Weights, entries: Sequence[EntryInfo], where: str) -> None:
    """Check that there is a feature for each weight.

    Raises:
        PluginContractError: There is not, or the weights are a single number.
    """
    try:
        count = len(weights)
    except TypeError as error:  # of a tensor without axes too
        raise PluginContractError(
            f"The predictor's filter has weights {shown(weights)}{where}. Weights are one number for each entry, "
            "as in Filter((1.0,))."
        ) from error
    if count > len(entries):
        raise PluginContractError(
            f"The predictor's filter has {count} weights{where}, but the history holds "
            f"{len(entries)} features. Return at most one for each entry, or raise min_history."
        )


class Moved:
    """Numbers where the features are: each tensor is copied there once, and nobody waits for it."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}

    def __call__(self, numbers: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
        """The numbers on a device, in a dtype."""
        if numbers.device == device or numbers.requires_grad or numbers.is_inference():
            # Towards a CPU nobody would wait for the copy before it is read.
            return numbers.to(device=device, dtype=dtype, non_blocking=device.type != "cpu")
        # A row of a table is another object each time; its memory is the same for as long as it is held here.
        place = (numbers.data_ptr(), numbers.shape, numbers.stride(), numbers._version)
        key = (*place, numbers.dtype, device, dtype)
        if key not in self._known:
            is_pinned = device.type == "cuda" and numbers.device.type == "cpu"
            sent = numbers.pin_memory() if is_pinned else numbers
            self._known[key] = numbers, sent.to(device=device, dtype=dtype, non_blocking=device.type != "cpu")
        return self._known[key][1]


def _check_fits(numbers: Tensor, feature: torch.Size, what: str) -> None:
    """Check that numbers broadcast over a feature's shape without making it larger."""
    shape = numbers.shape
    padded = (1,) * (len(feature) - len(shape)) + tuple(shape)
    if len(padded) != len(feature) or any(n not in (1, size) for n, size in zip(padded, feature, strict=True)):
        raise PluginContractError(
            f"The predictor's filter: {what} is {tuple(shape)}, which does not fit features of "
            f"{tuple(feature)}. Give one number for each channel, ({feature[-1]},) where channels are the "
            "last axis; for another axis add axes of size 1 after it, such as (channels, 1, 1)."
        )
