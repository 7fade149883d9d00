"""What the next step of a branch will read, so that it can be brought back from where a history is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from lesa_framework.interfaces.predictor import AffinePredictor, filter_of
from lesa_framework.runtime.features.filters import check_count
from lesa_framework.runtime.features.history import newest_computed
from lesa_framework.runtime.strategy import Strategy, due
from lesa_framework.types import EntryInfo, Reason, StepContext


def reads_next(strategy: Strategy, ctx: StepContext, entries: Sequence[EntryInfo]) -> frozenset[int]:
    """The entries that the branch's next step reads, as far as that is known before it begins.

    Args:
        strategy: Schedule, router and predictor.
        ctx: The step that ends.
        entries: What the branch's history holds when it has ended.

    Returns:
        Their places in the history. Empty if the next step is computed, or if data decide about that. What was
        computed last is read by the finite check.
    """
    index = ctx.index + 1
    if index >= ctx.num_steps or strategy.schedule.dynamic:
        return frozenset()
    following = replace(
        ctx,
        index=index,
        stage=strategy.router.stage(ctx.sigmas[index]),
        entries=tuple(entries),
        latent=None,
        computed_latent=None,
        path={},
    )
    if due(strategy, following) is not Reason.PREDICTED:
        return frozenset()
    predictor = strategy.predictor
    if not isinstance(predictor, AffinePredictor) or predictor.reads_latents:
        return frozenset(range(len(entries)))
    weights = filter_of(predictor, following.entries, following).weights
    check_count(weights, following.entries, "")
    read = range(len(weights)) if isinstance(weights, Tensor) else (k for k, weight in enumerate(weights) if weight)
    return frozenset({*read, newest_computed(entries)})
