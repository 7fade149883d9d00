"""The predictor: a table of filters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Literal

from torch import Tensor

from lesa_fitted.table import Place, TableShape, find_place, names_of, spread
from lesa_framework import AffinePredictor, EntryInfo, Filter, StepContext, Tuning
from lesa_framework.artifacts import same_grid

#: Reuse of the newest feature, for steps that the table has nothing for.
_REUSE = Filter((1.0,))


class Fitted(AffinePredictor):
    """`h_hat_i = sum_b sum_k w_ibk h_bk`: for each step i its own weights for the newest features of all branches.

    At the tap `output` with an Euler sampler this is a non-stationary linear multistep solver (arXiv 2403.01329).

    Args:
        shape: What the filters read.
        weights: Shape (steps, branches, sources, depth).
        sigmas: The grid of the fit.
        tuning: How computed steps are asked: shape (steps, branches, 3), what is added to the noise level and to 1 for
            the latent's factor, and how far ahead. None to ask as the sampler does.
    """

    records: Literal["all", "computed"] = "computed"

    def __init__(
        self, shape: TableShape, weights: Tensor, sigmas: tuple[float, ...], tuning: Tensor | None = None
    ) -> None:
        self.shape, self._sigmas = shape, sigmas
        self.depth, self.records = shape.depth, shape.records
        self.carries_over = shape.records == "computed"
        self._weights: list[list[list[list[float]]]] = weights.tolist()
        self._tuning: list[list[list[float]]] | None = None if tuning is None else tuning.tolist()
        self.looks_ahead = tuning is not None and bool(tuning[..., 2].any())
        self._is_same_grid = lru_cache(32)(partial(same_grid, sigmas))

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The step's row; reuse of the newest feature where it has none, or another branch's features are missing."""
        shape, branch = self.shape, self._branch(ctx)
        if shape.reads == "own":
            place = self._place(entries, ctx)
            return _REUSE if place is None else Filter(spread(self._weights[place.step][branch][0], place.order))
        held = names_of(ctx)
        found: dict[str, tuple[float, ...]] = {}
        for source, name in enumerate(shape.branches):
            known = ctx.branch if source == branch else name
            place = self._place(held[known], ctx) if known in held else None
            if place is None:
                return _REUSE
            found[known] = spread(self._weights[place.step][branch][source], place.order)
        return Filter(found.pop(ctx.branch), others=found)

    def tuning(self, ctx: StepContext) -> Tuning | None:
        """The step's own; on another grid, that of the computed step at the nearest noise level."""
        if self._tuning is None:
            return None
        step = ctx.index
        if not self._is_same_grid(ctx.sigmas):
            step = min(self.shape.computed, key=lambda each: abs(self._sigmas[each] - ctx.sigma))
        shift, gain, ahead = self._tuning[step][self._branch(ctx)]
        return Tuning(shift, 1 + gain, ahead) if shift or gain or ahead else None

    def _branch(self, ctx: StepContext) -> int:
        names = self.shape.branches
        return names.index(ctx.branch) if ctx.branch in names else min(ctx.branch_index, len(names) - 1)

    def _place(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Place | None:
        return find_place(self.shape, self._sigmas, self._is_same_grid(ctx.sigmas), entries, ctx)
