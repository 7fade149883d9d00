"""LESA for sampling: a table of gains and a few weights, without a KAN."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from lesa_framework import (
    AffinePredictor,
    ArtifactError,
    EntryInfo,
    Filter,
    RunInfo,
    StepContext,
)
from lesa_framework.artifacts import Artifact, check_run, same_grid
from lesa_kan.base import Base, LesaRecord, OnBase, added
from lesa_kan.experts import ExpertShape, gains_of

#: What LESA alone can do about another grid.
_RETABULATE = (
    "set predictor.retabulate=true to evaluate the KANs on this grid "
    "(needs the 'kan' extra; the quality is not guaranteed)"
)

#: Grids whose tables are kept: a server may take turns between as many resolutions.
_GRIDS = 32
#: Steps whose weights are kept: of all branches, on as many grids.
_STEPS = 100 * _GRIDS


class Lesa(OnBase, AffinePredictor):
    """`h_hat_i = h_{i-1} + a_s(d_i) (sum_k w_{s,k} h_{i-k} + b_s)` (arXiv 2602.20497, eq. 6-8).

    `d_i` depends on the grid alone, so each `a_s(d_i)` is a number from a table, and the whole predictor
    an affine filter. Features enter the history as used, predictions included. Taps beyond the history's
    length are left out. On a base, what that predicts stands in place of `h_{i-1}`.

    Args:
        shape: Sizes of the experts.
        gains: `a_s(d_i)`, shape (branches, stages, T).
        taps: `w_s`, shape (branches, stages, K).
        bias: `b_s`, shape (branches, stages).
        records: What histories hold.
        base: What the experts correct; None for reuse of the newest feature.
    """

    def __init__(
        self,
        shape: ExpertShape,
        gains: Tensor,
        taps: Tensor,
        bias: Tensor,
        *,
        records: Literal["all", "computed"] = "all",
        base: Base | None = None,
    ) -> None:
        super().__init__(shape, base, records)
        self._gains, self._taps, self._bias = gains.tolist(), taps.tolist(), bias.tolist()
        self._numbers = lru_cache(_STEPS)(self._multiplied)

    def gains(self, sigmas: tuple[float, ...]) -> list[list[list[float]]]:  # noqa: ARG002 - for those with KANs
        """`a_s(d_i)` on a grid, by branch, stage and step."""
        return self._gains

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The formula as weights."""
        branch = min(ctx.branch_index, self.shape.branches - 1)
        gain = self.gains(ctx.sigmas)[branch][ctx.stage][ctx.index]
        count = min(self.shape.stage_history[ctx.stage], len(entries))
        weights, bias = self._numbers(branch, ctx.stage, gain, count)
        if self.base is not None:
            return added(self.base.filter(entries, ctx), weights, bias)
        return Filter(weights, bias)

    def _multiplied(self, branch: int, stage: int, gain: float, count: int) -> tuple[tuple[float, ...], float]:
        """A step's gain times taps and bias; without a base, the newest feature too."""
        weights = [gain * tap for tap in self._taps[branch][stage][:count]]
        if self.base is None:
            weights[0] += 1.0
        return tuple(weights), gain * self._bias[branch][stage]

    def correction(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter | None:
        """That of the base."""
        return None if self.base is None else self.base.correction(entries, ctx)


class TrainedLesa(Lesa):
    """LESA from an artifact; refuses runs that the weights were not trained for.

    Args:
        artifact: What `lesa train` wrote.
        retabulate: Evaluate the KANs again when the grid has other noise levels (needs pykan).
        strict: Refuse other models, and warn of other weights, sizes and guidance.

    Raises:
        ArtifactError: The artifact does not hold what LESA needs.
    """

    def __init__(self, artifact: Artifact, *, retabulate: bool = False, strict: bool = True) -> None:
        record, metadata = artifact.settings(LesaRecord), artifact.metadata
        shape = record.shape
        if shape.num_steps != len(metadata.sigmas) - 1:
            raise ArtifactError(
                f"predictor.weights: made for {shape.num_steps} steps, but its grid has {len(metadata.sigmas) - 1}. "
                "Train again."
            )
        tables = {name: artifact.tensor(name, wanted) for name, wanted in shape.tables().items()}
        for name in sorted(shape.kans().keys() & artifact.tensors.keys()):
            artifact.tensor(name, shape.kans()[name])
        _check_sizes(tables["gains"], tables["taps"], tables["bias"])
        base = None if record.base is None else Base.restore(record.base, artifact.tensors)
        super().__init__(shape, **tables, records=record.records, base=base)
        self._artifact, self._retabulate, self._strict = artifact, retabulate, strict
        self._table = lru_cache(_GRIDS)(self._look_up)
        self.trained_for = metadata.run

    def check(self, run: RunInfo) -> None:
        """Compare the run with that of the training, and evaluate the KANs on its grid if configured."""
        check_run(self._artifact.metadata, run, strict=self._strict, any_grid=self._retabulate, remedy=_RETABULATE)
        self.gains(run.sigmas)

    def gains(self, sigmas: tuple[float, ...]) -> list[list[list[float]]]:
        """The table for the training's grid; for another one, the KANs are evaluated once."""
        return self._table(sigmas) if self._retabulate else self._gains

    def _look_up(self, sigmas: tuple[float, ...]) -> list[list[list[float]]]:
        if same_grid(sigmas, self._artifact.metadata.sigmas):
            return self._gains
        return tabulate(self._artifact, sigmas)


def tabulate(artifact: Artifact, sigmas: tuple[float, ...]) -> list[list[list[float]]]:
    """Evaluate an artifact's KANs on a grid of the same length.

    Returns:
        Gains by branch, stage and step.

    Raises:
        ConfigError: pykan is not installed.
        ArtifactError: The KANs' weights are missing or damaged.
    """
    shape = artifact.settings(LesaRecord).shape
    wanted = {**shape.tables(), **shape.kans()}
    try:
        weights = {name: artifact.tensor(name, size) for name, size in wanted.items()}
    except ArtifactError as error:
        raise ArtifactError(f"predictor.retabulate: another grid needs the weights of the KANs. {error}") from error
    gains = gains_of(shape, weights, sigmas)
    _check_sizes(gains, weights["taps"], weights["bias"])
    table: list[list[list[float]]] = gains.tolist()
    return table


def _check_sizes(gains: Tensor, taps: Tensor, bias: Tensor) -> None:
    """Refuse numbers whose products are not: filters are applied in float32.

    Raises:
        ArtifactError: They are too large.
    """
    numbers = torch.cat([taps, bias.unsqueeze(-1)], dim=-1).unsqueeze(2)
    if not bool((gains.double().unsqueeze(-1) * numbers).float().isfinite().all()):
        raise ArtifactError("predictor.weights: filters made of these numbers would not be finite. Train again.")
