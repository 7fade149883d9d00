"""The greedy fit: a predictor that finds its filters while the schedule runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from lesa_fitted.normal_equations import NormalEquations, energy
from lesa_fitted.table import TableShape, features_for
from lesa_fitted.velocities import Velocities
from lesa_framework import HistoryView, Predictor, StepContext, World

#: (step, branch) of a row. With the target `trajectory` the step is the first predicted one of an interval, and the
#: branch is 0 until the rows are split.
Key: TypeAlias = tuple[int, int]

_TINY = 1e-12


class Rows:
    """Weights of all rows, and the equations that they solve.

    With the target `trajectory`, all predicted steps between two computed ones share their weights, in all branches:
    the velocity that leads to the next computed step is one and the same for them. Filters that read their own branch
    are fitted to how the sampler moved at computed steps, because guidance acts on a sum as on its parts; of those that
    read all branches, each returns the whole velocity, and guidance leaves it as it is. With the target `feature`, each
    step and branch has weights of its own.

    Args:
        shape: What a row reads.
        target: What it is fitted to.
        ridge: See [`NormalEquations.solve`][lesa_fitted.normal_equations.NormalEquations.solve].
        world: The processes that find data for the same rows at the same time.

    Attributes:
        tuning: How computed steps are asked, shape `shape.tuning_size`; None to ask as the sampler does.
    """

    def __init__(self, shape: TableShape, target: Literal["trajectory", "feature"], ridge: float, world: World) -> None:
        self.shape, self.target, self._ridge, self.world = shape, target, ridge, world
        self.equations: dict[Key, NormalEquations] = {}
        self.weights: dict[Key, Tensor] = {}
        self.tuning: Tensor | None = None
        self._is_split = False

    @property
    def reads_moves(self) -> bool:
        """Whether filters are fitted to how the sampler moved; see above."""
        return self.target == "trajectory" and self.shape.reads == "own"

    def key(self, step: int, branch: int) -> Key:
        """The row of a predicted step."""
        if self.target == "feature":
            return step, branch
        return self._interval(step), branch if self._is_split else 0

    def split(self) -> None:
        """Let branches have weights of their own from now on, where they read their own features."""
        if self.reads_moves and not self._is_split:
            self._is_split = True
            branches = range(len(self.shape.branches))
            self.weights = {(step, b): weights for (step, _), weights in self.weights.items() for b in branches}
            self.equations = {(step, b): each for (step, _), each in self.equations.items() for b in branches}

    def _interval(self, step: int) -> int:
        return max(each for each in self.shape.computed if each < step) + 1

    def learn(self, key: Key, features: Sequence[Tensor], target: Tensor) -> None:
        """Add data to a row."""
        self.equations.setdefault(key, NormalEquations(len(features), self.world.rows)).add(features, target)

    def solve(self, keys: Sequence[Key]) -> None:
        """Give rows the weights that their equations have by now."""
        for key in keys:
            self.weights[key] = self.equations[key].solve(self._ridge)

    def forget(self) -> None:
        """Begin the equations anew; the weights stay."""
        self.equations = {}

    def table(self) -> Tensor:
        """All weights as a table of `shape.size`, float64; 0 where a row has none."""
        shape = self.shape
        table = torch.zeros(shape.size, dtype=torch.float64, device="cpu")
        for step in set(range(shape.num_steps)) - set(shape.computed):
            for branch in range(len(shape.branches)):
                weights = self.weights.get(self.key(step, branch))
                if weights is not None:
                    row = weights.view(shape.sources, -1)
                    table[step, branch, :, : row.shape[1]] = row
        return table


class GreedyPredictor(Predictor):
    """Predicts for one rollout of a batch, and fits each row when the first prediction needs it.

    Args:
        rows: What is fitted. Data of earlier batches count too.
        latents: T + 1 latents of the batch's uncached run.
        features: (branch, step) -> the uncached run's feature, for the target `feature`.
        learning: Whether rows are solved on the way. Else they keep the weights that they have, and data are collected.
        counts: Whether the batch's samples count; else another process has them.

    Attributes:
        miss: With the target `trajectory`: how far latents were from where the predictions led, relative to the way;
            the mean over the intervals. Small when the sampler makes Euler steps and guidance is linear.
    """

    records: Literal["all", "computed"] = "computed"

    def __init__(
        self,
        rows: Rows,
        latents: Sequence[Tensor],
        features: Mapping[tuple[str, int], Tensor],
        *,
        learning: bool = True,
        counts: bool = True,
    ) -> None:
        self._rows, self._latents, self._features, self._learning = rows, latents, features, learning
        self._counted = slice(None) if counts else slice(0)
        self.depth = rows.shape.depth
        self._done: set[Key] = set()
        self._velocities = Velocities(self.depth, len(latents[-1])) if rows.reads_moves else None
        self._planned: tuple[Tensor, Tensor] | None = None
        self._misses: list[tuple[float, float]] = []  # squares of the distance, and of the way

    @property
    def miss(self) -> float:
        """See above; 0 before the second computed step."""
        if not self._misses:
            return 0.0
        missed, way = self._rows.world.sum(torch.tensor(self._misses, dtype=torch.float64, device="cpu")).T
        return float((missed / way.clamp_min(_TINY**2)).sqrt().mean())

    def forget(self) -> None:
        """Let go of the run's tensors: whoever attached this may keep it for a while."""
        self._features, self._planned, self._velocities = {}, None, None

    def correct(self, history: HistoryView, ctx: StepContext, feature: Tensor) -> None:  # noqa: ARG002
        """Change nothing; the latent tells how the sampler moved, and where predictions led."""
        if self._velocities is not None:
            self._velocities.computed(ctx, feature)
        if self._planned is not None:
            assert ctx.latent is not None
            (start, end), self._planned = self._planned, None
            missed, way = (ctx.latent - end)[self._counted], (end - start)[self._counted]
            self._misses.append((float(energy(missed)), float(energy(way))))

    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:
        """Fit the row, if nobody has in this rollout, and apply it."""
        shape = self._rows.shape
        if self._velocities is not None:
            self._velocities.predicted(ctx)
        key = self._rows.key(ctx.index, shape.branches.index(ctx.branch))
        features = features_for(shape, history, ctx)
        if key not in self._done:
            self._done.add(key)
            found = [feature[self._counted] for feature in self._regressors(features)]
            self._rows.learn(key, found, self._target(ctx, features[0])[self._counted])
            if self._learning:
                self._rows.solve([key])
            self._plan(ctx, self._regressors(features), self._rows.weights[key].tolist())
        return _sum(features, self._rows.weights[key].tolist()).to(features[0].dtype)

    def _plan(self, ctx: StepContext, features: list[Tensor], weights: list[float]) -> None:
        """Where the interval should end, if the latent follows the prediction."""
        if self._rows.target == "trajectory" and self._planned is None:
            assert ctx.latent is not None
            way = ctx.sigmas[self._rows.shape.end(ctx.index)] - ctx.sigma
            self._planned = ctx.latent.detach().clone(), ctx.latent + way * _sum(features, weights)

    def _regressors(self, features: list[Tensor]) -> list[Tensor]:
        return features if self._velocities is None else self._velocities.newest(len(features))

    def _target(self, ctx: StepContext, like: Tensor) -> Tensor:
        if self._rows.target == "feature":
            return self._features[ctx.branch, ctx.index]
        assert ctx.latent is not None
        end = self._rows.shape.end(ctx.index)
        goal = self._latents[end].to(like)
        copies = ctx.latent.shape[0] // goal.shape[0]  # guidance in one call: the model's input holds each latent twice
        return (goal.repeat(copies, *(1 for _ in goal.shape[1:])) - ctx.latent) / (ctx.sigmas[end] - ctx.sigma)


def _sum(features: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = torch.zeros_like(features[0], dtype=torch.promote_types(features[0].dtype, torch.float32))
    for weight, feature in zip(weights, features, strict=True):
        total.add_(feature, alpha=weight)
    return total
