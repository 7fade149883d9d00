"""The steps of a planned run, with the weights of its filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from torch import Tensor

from lesa_framework.runtime.features.filters import check_fits_history
from lesa_framework.runtime.planning import said_of
from lesa_framework.runtime.strategy import Strategy, plan
from lesa_framework.types import Decision, EntryInfo, Reason, StepContext, Tuning, Weights

_PER_CHANNEL: Final = "per channel"
#: How a number of a filter is shown: as it is, or as "per channel".
Shown: TypeAlias = float | str
#: By the reason; all others are for computing.
_DECISIONS: Final = {Reason.PREDICTED: Decision.PREDICT, Reason.DATA: None}


@dataclass(frozen=True)
class PlannedStep:
    """One row of the plan.

    Attributes:
        step: The step.
        branch: The branch.
        sigma: Its noise level.
        stage: Its stage.
        decision: The decision; None when it depends on data.
        reason: The reason for it.
        weights: For an affine predictor, by the step that each feature comes from, the weights of its prediction or of
            its correction of a computed step; None otherwise.
        others: The weights on other branches' features, by branch.
        bias: The bias of the filter; None without weights.
        shift: Of a computed step: what is added to the noise level that the model is told.
        scale: Of a computed step: the factor of the latent that the model gets.
        ahead: Of a computed step: how far on the model is asked, in parts of the way since the computed step before.
    """

    step: int
    branch: str
    sigma: float
    stage: int
    decision: Decision | None
    reason: Reason
    weights: dict[int, Shown] | None
    others: dict[str, dict[int, Shown]]
    bias: Shown | None
    shift: float = 0.0
    scale: float = 1.0
    ahead: float = 0.0


def planned_steps(
    strategy: Strategy, grid: tuple[float, ...], branches: Sequence[str] = ("branch0",)
) -> list[PlannedStep]:
    """The plan of a run, with the weights of affine predictors by the step that each feature comes from."""
    return [_planned(strategy, ctx, reason) for ctx, reason in plan(strategy, grid, branches)]


def _planned(strategy: Strategy, ctx: StepContext, reason: Reason) -> PlannedStep:
    said = said_of(strategy.predictor, ctx, reason)
    found, tuning = said.filter, said.tuning or Tuning()
    others = {}
    if found is not None:
        check_fits_history(found, said.entries, ctx.others)
        others = {name: _by_step(ctx.others[name], weights) for name, weights in found.others.items()}
    return PlannedStep(
        step=ctx.index,
        branch=ctx.branch,
        sigma=ctx.sigma,
        stage=ctx.stage,
        decision=_DECISIONS.get(reason, Decision.COMPUTE),
        reason=reason,
        weights=None if found is None else _by_step(said.entries, found.weights),
        others=others,
        bias=None if found is None else _shown(found.bias),
        shift=float(tuning.shift),
        scale=float(tuning.scale),
        ahead=float(tuning.ahead),
    )


def _by_step(entries: Sequence[EntryInfo], weights: Weights) -> dict[int, Shown]:
    return {entry.step: _shown(weight) for entry, weight in zip(entries, weights, strict=False)}


def _shown(number: float | Tensor) -> Shown:
    return _PER_CHANNEL if isinstance(number, Tensor) else number


def formula(row: PlannedStep) -> str:
    """The filter of a step as text, such as `+2.000·h1 -1.000·h0`, and how it is asked; empty when it has neither."""
    asked = [f"asked at sigma {row.sigma + row.shift:.4f}"] if row.shift else []
    asked += [f"latent x {row.scale:.4f}"] if row.scale != 1 else []
    asked += [f"asked {row.ahead:+.3f} of the last way ahead"] if row.ahead else []
    if row.weights is None:
        return ", ".join(asked)
    terms = _terms(row.weights, "h")
    for branch, weights in row.others.items():
        terms += _terms(weights, f"{branch}:h")
    if row.bias:
        terms.append(row.bias if isinstance(row.bias, str) else f"{row.bias:+.4f}")
    weighed = ("corrected: " if row.decision is Decision.COMPUTE else "") + " ".join(terms)
    return ", ".join([*asked, weighed])


def _terms(weights: Mapping[int, Shown], feature: str) -> list[str]:
    return [
        f"{weight}·{feature}{step}" if isinstance(weight, str) else f"{weight:+.3f}·{feature}{step}"
        for step, weight in weights.items()
        if weight
    ]
