"""What a predictor says of a step in a plan, where there is no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lesa_framework.errors import PluginContractError, in_one_line
from lesa_framework.interfaces.predictor import AffinePredictor, Predictor, correction_of, filter_of
from lesa_framework.runtime.asking import tuning_of
from lesa_framework.types import EntryInfo, Filter, Reason, StepContext, Tuning


@dataclass(frozen=True)
class Said:
    """How a step is made, as far as that is known without tensors.

    Attributes:
        filter: The filter of a prediction, or the one that corrects a computed step; None where there is none, or the
            predictor is not affine.
        entries: What it is applied to, newest first.
        tuning: How a computed step is asked; None as the sampler asks.
    """

    filter: Filter | None = None
    entries: Sequence[EntryInfo] = ()
    tuning: Tuning | None = None


def said_of(predictor: Predictor, ctx: StepContext, reason: Reason) -> Said:
    """What a predictor says of a step.

    Args:
        predictor: Asked.
        ctx: The step, as a plan knows it.
        reason: Why it is computed or predicted; that it depends on data, which leaves nothing to ask.

    Raises:
        PluginContractError: The predictor returns something else than a filter or a tuning, or fails, for example
            because it cannot do without latents.
    """
    if reason is Reason.DATA:
        return Said()
    try:
        return _said(predictor, ctx, reason)
    except (AssertionError, AttributeError, TypeError) as error:  # what reading a latent that is None comes to
        raise PluginContractError(
            f"{type(predictor).__name__} fails in a plan ({in_one_line(error)}). `ctx.latent` and "
            "`ctx.computed_latent` are None there."
        ) from error


def _said(predictor: Predictor, ctx: StepContext, reason: Reason) -> Said:
    found, entries = None, ctx.entries
    if reason is Reason.PREDICTED:
        if isinstance(predictor, AffinePredictor):
            found = filter_of(predictor, entries, ctx)
        return Said(found, entries)
    entries = (EntryInfo(ctx.index, computed=True), *entries)[: predictor.depth]
    if isinstance(predictor, AffinePredictor):
        found = correction_of(predictor, entries, ctx)
    return Said(found, entries, tuning_of(predictor, ctx))
