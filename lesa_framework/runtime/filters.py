"""Affine filters with weights for each channel, or over the histories of several branches."""

from __future__ import annotations

import torch
from torch import Tensor

from lesa_framework.errors import PluginContractError
from lesa_framework.types import Filter, HistoryView, Weights


def apply_general(filter: Filter, history: HistoryView) -> Tensor:  # noqa: A002 - the contract's word
    """Evaluate any filter, differentiably in its numbers and in the features.

    Args:
        filter: What to evaluate.
        history: The branch's own history.

    Returns:
        A tensor like the newest feature, accumulated in float32 (float64 for float64 features).

    Raises:
        PluginContractError: The filter has more weights than a history has features, names a branch without a
            history, or its numbers or another branch's features do not fit this branch's features.
    """
    check_count(filter.weights, history, "")
    newest = history.feature(0)
    exact = torch.promote_types(newest.dtype, torch.float32)
    total = torch.zeros_like(newest, dtype=exact)
    _add(total, filter.weights, history, "")
    for name, weights in filter.others.items():
        where = f" for branch '{name}'"
        if name not in history.branches:
            raise PluginContractError(
                f"The predictor's filter has weights{where}, which has no history yet. "
                f"Branches with a history: {', '.join(history.branches) or 'none'}. Take the names from ctx.others."
            )
        other = history.branches[name]
        check_count(weights, other, where)
        if other.entries and other.feature(0).shape != newest.shape:
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


def check_count(weights: Weights, history: HistoryView, where: str) -> None:
    """Check that there is a feature for each weight.

    Raises:
        PluginContractError: There is not.
    """
    if len(weights) > len(history.entries):
        raise PluginContractError(
            f"The predictor's filter has {len(weights)} weights{where}, but the history holds "
            f"{len(history.entries)} features. Return at most one for each entry, or raise min_history."
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
