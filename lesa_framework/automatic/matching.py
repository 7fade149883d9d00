"""Whether weights fit a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from lesa_framework.artifacts import ArtifactMetadata, same_grid
from lesa_framework.artifacts.check import same_guidance
from lesa_framework.automatic.budget import Budget, nothing_to_gain
from lesa_framework.automatic.shelf import Weights
from lesa_framework.errors import LesaError
from lesa_framework.runtime.strategy import Strategy, carried
from lesa_framework.types import Choice, RunInfo


class Nearness(IntEnum):
    """How far weights came in the checks, for the message when none fit."""

    OTHER_MODEL = 0
    OTHER_WEIGHTS = 1
    OTHER_CALL = 2
    OTHER_GRID = 3
    OTHER_BUDGET = 4
    BROKEN = 5


@dataclass(frozen=True)
class Refusal:
    """Why weights are not taken, in words that follow their name."""

    nearness: Nearness
    reason: str


def suits(metadata: ArtifactMetadata, run: RunInfo) -> Refusal | None:
    """Why weights are not for this model or call, as far as their metadata tell; None if they may be.

    Unlike [`check_run`][lesa_framework.artifacts.check_run], which trusts the user who named the weights, this takes
    nothing on trust: the model's own weights must be known and the same.
    """
    ours, theirs = metadata.models, run.models
    is_kind = len(ours) == len(theirs) > 0 and all(one.is_of_kind(two) for one, two in zip(ours, theirs, strict=True))
    if metadata.backbone != run.backbone or not is_kind:
        return Refusal(Nearness.OTHER_MODEL, "was fitted to another model")
    pairs = list(zip(ours, theirs, strict=True))
    if not all(one.is_comparable(two) for one, two in pairs):
        return Refusal(Nearness.OTHER_WEIGHTS, "cannot be compared: it was fitted to another library's class")
    if not all(one.may_have_weights_of(two) for one, two in pairs):
        return Refusal(Nearness.OTHER_WEIGHTS, "was fitted to other weights of this architecture (a fine-tune or LoRA)")
    if not all(one.has_weights_of(two) for one, two in pairs):
        return Refusal(Nearness.OTHER_WEIGHTS, "cannot be compared: too many of this model's weights cannot be read")
    return _other_call(metadata, run)


def _other_call(metadata: ArtifactMetadata, run: RunInfo) -> Refusal | None:
    reason = None
    if metadata.tap != run.tap:
        reason = f"was fitted at the tap {metadata.tap}, and this session taps {run.tap}"
    elif None not in (metadata.latent_shape, run.latent_shape) and metadata.latent_shape != run.latent_shape:
        reason = f"was fitted to inputs of {metadata.latent_shape}, and these are {run.latent_shape}"
    elif not same_guidance(metadata.guidance, run.guidance):
        reason = f"was fitted with guidance {metadata.guidance:g}, and this is {run.guidance:g}"
    return None if reason is None else Refusal(Nearness.OTHER_CALL, reason)


def strategy_for(weights: Weights, run: RunInfo, budget: Budget) -> Strategy | Refusal:
    """The strategy of a run with these weights, or why they are not taken."""
    refusal = suits(weights.metadata, run)
    if refusal is not None:
        return refusal
    try:
        return _within_budget(weights, run, budget)
    except LesaError as error:
        return Refusal(Nearness.BROKEN, f"cannot be used: {error}")


def _within_budget(weights: Weights, run: RunInfo, budget: Budget) -> Strategy | Refusal:
    strategy, trained, steps = weights.strategy, weights.metadata.sigmas, len(run.sigmas) - 1
    late = f"; whole runs were fitted, and this one begins at step {run.begin}" if run.begin else ""
    reason = f"fitted to this model, grid and size{late}"
    if not same_grid(trained, run.sigmas):
        grid = f"on {len(trained) - 1} steps" if len(trained) != len(run.sigmas) else "on another grid"
        if not strategy.predictor.carries_over:
            return Refusal(Nearness.OTHER_GRID, f"was fitted {grid}, and this run has {steps} steps")
        strategy = carried(strategy, trained)
        reason = f"fitted to this model {grid}; its quality was measured there, not in this run{late}"
    nfe = strategy.nfe(run.sigmas)
    if nfe is None:
        return Refusal(Nearness.OTHER_BUDGET, "computes as many steps as the data ask for")
    if nothing_to_gain(nfe, steps) is not None or not budget.allows(nfe, steps):
        allowed = f"{budget.speedup:g}x of {steps} steps is {budget.steps(steps)}"
        return Refusal(Nearness.OTHER_BUDGET, f"computes {nfe} steps, and {allowed}")
    strategy.predictor.check(run)
    return chosen(strategy, run, weights.name, weights.config.predictor.kind, weights.source, reason)


def chosen(strategy: Strategy, run: RunInfo, name: str, kind: str, source: str, reason: str) -> Strategy:
    """A strategy as the choice for a run.

    Args:
        strategy: Its schedule is static.
        run: Where it begins decides how many steps are computed, and of how many.
        name: The choice's, as are the others; see [`Choice`][lesa_framework.Choice].
        kind: The predictor's.
        source: Where it comes from.
        reason: Why this one.
    """
    nfe = strategy.nfe(run.sigmas, run.begin)
    assert nfe is not None
    return replace(strategy, choice=Choice(name, kind, source, reason, nfe, run.steps_to_run))
