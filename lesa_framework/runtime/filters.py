"""Affine filters with weights for each channel, or over the histories of several branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lesa_framework.errors import PluginContractError
from lesa_framework.types import EntryInfo, Filter, HistoryView, Weights


def apply_general(filter: Filter, history: HistoryView) -> Tensor:  # noqa: A002 - the contract's word
    """Evaluate any filter, differentiably in its numbers and in the features.

    Args:
        filter: What to evaluate.
        history: The branch's own history.

    Returns:
        A tensor like the newest feature, accumulated in float32 (float64 for float64 features).

    Raises:
        PluginContractError: The filter has more weights than a history has features, names its own branch or one
            without features, or its numbers or another branch's features do not fit this branch's features.
    """
    others = {name: other for name, other in history.branches.items() if other is not history and other.entries}
    check_fits_history(filter, history.entries, {name: other.entries for name, other in others.items()})
    newest = history.feature(0)
    exact = torch.promote_types(newest.dtype, torch.float32)
    total = torch.zeros_like(newest, dtype=exact)
    _add(total, filter.weights, history, "")
    for name, weights in filter.others.items():
        where, other = _for_branch(name), others[name]
        if other.feature(0).shape != newest.shape:
            raise PluginContractError(
                f"The predictor's filter has weights{where}, whose features are {tuple(other.feature(0).shape)}; "
                f"those of this branch are {tuple(newest.shape)}. Only branches with features of the same shape mix."
            )
        _add(total, weights, other, where)
    bias = filter.bias
    if isinstance(bias, Tensor):
        _check_fits(bias, newest, "bias")
        bias = bias.to(total)
    return total.add_(bias).to(newest.dtype)


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
        PluginContractError: There is not.
    """
    if len(weights) > len(entries):
        raise PluginContractError(
            f"The predictor's filter has {len(weights)} weights{where}, but the history holds "
            f"{len(entries)} features. Return at most one for each entry, or raise min_history."
        )


def _add(total: Tensor, weights: Weights, history: HistoryView, where: str) -> None:
    if isinstance(weights, Tensor):
        weights = weights.to(total)
        for k in range(len(weights)):
            feature = history.feature(k)
            _check_fits(weights[k], feature, f"weight {k}{where}")
            total.addcmul_(feature, weights[k])
        return
    for k, weight in enumerate(weights):
        if weight != 0.0:
            total.add_(history.feature(k), alpha=weight)


def _check_fits(numbers: Tensor, feature: Tensor, what: str) -> None:
    """Check that numbers broadcast over a feature without making it larger."""
    shape = numbers.shape
    padded = (1,) * (feature.dim() - len(shape)) + tuple(shape)
    if len(padded) != feature.dim() or any(n not in (1, size) for n, size in zip(padded, feature.shape, strict=True)):
        raise PluginContractError(
            f"The predictor's filter: {what} is {tuple(shape)}, which does not fit features of "
            f"{tuple(feature.shape)}. Give one number for each channel, ({feature.shape[-1]},) where channels are the "
            "last axis; for another axis add axes of size 1 after it, such as (channels, 1, 1)."
        )
