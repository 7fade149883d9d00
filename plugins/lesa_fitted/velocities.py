"""How the sampler moved at computed steps, which the greedy fit regresses on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lesa_framework import StepContext

_HALVES = torch.float16, torch.bfloat16
#: Times the energy that rounding of the latents explains: what is left over beyond it is not rounding.
_EXPLAINED = 2.0


class Velocities:
    """How the sampler moved at the newest computed steps, guidance included: `(x_{i+1} - x_i) / (s_{i+1} - s_i)`.

    Pipelines in half precision round their latents at every step, and over a short step that is a large part of the
    difference: least squares on it would pull all weights towards zero. There, if the features are velocities, the move
    is taken as the sum of the branches' features that comes closest, where rounding explains all of the rest.

    Args:
        depth: Of how many steps are kept.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._pending: tuple[int, Tensor] | None = None
        self._features: list[Tensor] = []  # of the pending step's branches
        self._found: list[Tensor] = []

    def computed(self, ctx: StepContext, feature: Tensor) -> None:
        """A step is computed; each branch of it comes here, and has the same latent."""
        assert ctx.latent is not None
        if self._pending is None or self._pending[0] != ctx.index:
            self._close(ctx)
            self._pending, self._features = (ctx.index, ctx.latent.detach().clone()), []
        if ctx.latent.dtype in _HALVES and feature.shape == ctx.latent.shape:
            self._features.append(feature.detach().clone())

    def predicted(self, ctx: StepContext) -> None:
        """A step is predicted."""
        self._close(ctx)

    def newest(self, count: int) -> list[Tensor]:
        """The newest ones first, each of the latents' shape."""
        return self._found[:count]

    def _close(self, ctx: StepContext) -> None:
        if self._pending is None:
            return
        assert ctx.latent is not None
        (step, before), self._pending = self._pending, None
        passed = ctx.sigmas[step + 1] - ctx.sigmas[step]
        if self._features:
            moved = (ctx.latent.float() - before.float()) / passed
            moved = _without_rounding(moved, self._features, _rounding(ctx.latent) / passed**2)
        else:
            moved = (ctx.latent - before) / passed
        self._features = []
        self._found = [moved, *self._found][: self._depth]


def _without_rounding(moved: Tensor, features: Sequence[Tensor], rounding: float) -> Tensor:
    """The sum of features that is closest to a move; the move itself, if rounding does not explain what is left.

    Args:
        moved: What was found, in float32.
        features: Each of the same shape.
        rounding: The energy that rounding is expected to add.
    """
    columns, goal = torch.stack([each.flatten().double() for each in features]), moved.flatten().double()
    gram = columns @ columns.T
    if not bool(gram.isfinite().all()):  # as when half precision overflows
        return moved
    exact = torch.linalg.pinv(gram, hermitian=True) @ (columns @ goal) @ columns
    left = float((goal - exact).square().sum())
    return exact.view_as(moved).to(moved) if left <= _EXPLAINED * rounding else moved


def _rounding(values: Tensor) -> float:
    """The energy of the rounding of values to their own precision: each is off by a twelfth of a squared last place."""
    last_places = torch.finfo(values.dtype).eps * torch.exp2(torch.frexp(values.float()).exponent.double() - 1)
    return float(last_places.square().sum()) / 12
