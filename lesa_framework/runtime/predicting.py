"""What a predictor returns, checked: of the right kind, finite, and not the history's own memory."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from lesa_framework.errors import PluginContractError, shown
from lesa_framework.interfaces.predictor import AffinePredictor, Predictor, filter_of, reads_beyond
from lesa_framework.runtime.features.filters import picked
from lesa_framework.runtime.features.finite import Finite
from lesa_framework.runtime.features.held import Kind, kind_of
from lesa_framework.runtime.features.history import newest_computed
from lesa_framework.runtime.features.weighing import Count
from lesa_framework.runtime.store import Store
from lesa_framework.types import HistoryView, StepContext


def predict(
    predictor: Predictor, history: Store, ctx: StepContext, finite: Finite, *, leaves: bool = False
) -> Tensor | None:
    """The prediction; None if it is refused.

    Args:
        predictor: What predicts.
        history: The branch's.
        ctx: The step.
        finite: What is done about values that are not finite.
        leaves: Whether the prediction leaves the model as it is, for a sampler that may write to it.

    Raises:
        PluginContractError: It has another shape or dtype than the features, or is on another device; or the predictor
            reads an entry that is not there.
    """
    count: Count = None
    if type(predictor).predict is AffinePredictor.predict:
        found = filter_of(cast("AffinePredictor", predictor), history.entries, ctx)
        made, count = history.predict(found, check=finite.replaces)
        is_held = picked(found) is not None
    else:
        try:
            made = predictor.predict(history, ctx)
        except IndexError as error:
            raise reads_beyond(predictor, "predict", history.entries, error) from error
        _check(predictor, "predict", made, history.kind)
        is_held = True  # it may be a view of the history, or the predictor may keep it
    entries = history.entries
    if finite.refuses(made):
        finite.explain(made, history.feature(newest_computed(entries)), ctx.branch, ctx.index, entries)
        return None
    prediction = made
    if count is None:
        newest = newest_computed(entries)
        prediction = finite.cleaned(made, lambda: history.feature(newest), ctx.branch, ctx.index, entries)
    else:
        finite.note(count, ctx.branch, ctx.index, entries)
    if leaves and is_held and prediction is made:
        return prediction.clone()
    return _outside_the_ring(prediction)


def correct(
    predictor: Predictor, history: HistoryView, ctx: StepContext, feature: Tensor, finite: Finite
) -> tuple[Tensor, bool]:
    """The feature to use on a computed step, and whether the predictor's correction of it was refused.

    Raises:
        PluginContractError: The correction has another shape or dtype than the feature, or is on another device.
    """
    corrected = predictor.correct(history, ctx, feature)
    if corrected is None:
        return feature, False
    _check(predictor, "correct", corrected, kind_of(feature))
    entries = history.entries  # the newest of which is the feature
    if finite.refuses(corrected):
        finite.explain(corrected, feature, ctx.branch, ctx.index, entries)
        return feature, True
    return _outside_the_ring(finite.cleaned(corrected, lambda: feature, ctx.branch, ctx.index, entries)), False


def _check(predictor: Predictor, method: str, found: object, wanted: Kind) -> None:
    if not isinstance(found, Tensor):
        raise PluginContractError(f"{type(predictor).__name__}.{method} returned {shown(found)}, not a tensor.")
    if kind_of(found) != wanted:
        shape, dtype, device = wanted
        raise PluginContractError(
            f"{type(predictor).__name__}.{method} returned {tuple(found.shape)} {found.dtype} on "
            f"{found.device}; it must keep the features' {tuple(shape)} {dtype} on {device}."
        )


def _outside_the_ring(feature: Tensor) -> Tensor:
    """A view of the ring must not enter a graph: the ring is written over before the graph is walked back."""
    return feature.clone() if torch.is_grad_enabled() else feature
