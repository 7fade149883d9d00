"""How the sampler moved at computed steps, which the greedy fit regresses on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lesa_fitted.normal_equations import CHUNK, in_float64
from lesa_framework import StepContext

_HALVES = torch.float16, torch.bfloat16
#: If more than this many times the expected energy of rounding is left, something other than rounding is in it.
_EXPLAINED = 2.0


class Velocities:
    """How the sampler moved at the newest computed steps, guidance included: `(x_{i+1} - x_i) / (s_{i+1} - s_i)`.

    Pipelines in half precision round their latents at every step, and over a short step that is a large part of the
    difference: least squares on it would pull all weights towards zero. There, if the features are velocities, the move
    is taken as the sum of the branches' features that comes closest, where rounding explains all of the rest.

    Args:
        depth: Of how many steps are kept.
        samples: In a batch. Where guidance is one call, the model's input holds each of them several times.
    """

    def __init__(self, depth: int, samples: int) -> None:
        self._depth, self._samples = depth, samples
        self._pending: tuple[int, Tensor] | None = None
        self._features: list[Tensor] = []  # of the pending step's branches
        self._found: list[Tensor] = []

    def computed(self, ctx: StepContext, feature: Tensor) -> None:
        """A step is computed; each branch of it comes here, and has the same latent."""
        assert ctx.latent is not None
        if self._pending is None or self._pending[0] != ctx.index:
            self._close(ctx)
            self._pending, self._features = (ctx.index, ctx.latent.detach().clone()), []
        is_whole = len(ctx.latent) % self._samples == 0
        if ctx.latent.dtype in _HALVES and feature.shape == ctx.latent.shape and is_whole:
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
        if self._features and passed:
            moved = (ctx.latent.float() - before.float()) / passed
            rounding = (_rounding(before) + _rounding(ctx.latent)) / passed**2
            moved = _without_rounding(moved, self._features, self._samples, rounding)
        else:
            moved = (ctx.latent - before) / passed
        self._features = []
        self._found = [moved, *self._found][: self._depth]


def _without_rounding(moved: Tensor, features: Sequence[Tensor], samples: int, rounding: float) -> Tensor:
    """The sum of features that is closest to a move; the move itself, if rounding does not explain what is left.

    Args:
        moved: What was found, in float32; where guidance is one call, the same for each copy of the samples.
        features: Each of the same shape.
        samples: In a copy.
        rounding: The energy that rounding is expected to add, at most.
    """
    copies = len(moved) // samples
    rows = [row for each in features for row in each.reshape(copies, samples, -1)]
    goals = moved[:samples].flatten(1)
    # In half precision a sample may overflow; the others' moves count.
    good = torch.stack([each.isfinite().all(-1) for each in (*rows, goals)]).all(0).tolist()
    starts = range(0, goals.shape[1], CHUNK)
    parts = [(number, slice(start, start + CHUNK)) for number in range(samples) if good[number] for start in starts]

    def columns(part: tuple[int, slice]) -> Tensor:
        return torch.stack([in_float64(row[part]) for row in rows])

    gram = in_float64(moved.new_zeros(len(rows), len(rows)))
    moment = in_float64(moved.new_zeros(len(rows)))
    for part in parts:
        each = columns(part)
        gram += each @ each.T
        moment += each @ in_float64(goals[part])
    weights = torch.linalg.pinv(gram, hermitian=True) @ moment
    exact, left = goals.clone(), in_float64(moved.new_zeros(()))
    for part in parts:
        found = weights @ columns(part)
        left += (in_float64(goals[part]) - found).square().sum()
        exact[part] = found.to(exact)
    if copies * float(left) > _EXPLAINED * rounding:
        return moved
    return exact.repeat(copies, 1).view_as(moved)


def _rounding(values: Tensor) -> float:
    """The energy of the rounding of values to their own precision: each is off by a twelfth of a squared last place."""
    eps, energy = torch.finfo(values.dtype).eps, in_float64(values.new_zeros(()))
    for part in torch.split(values.flatten(), CHUNK):
        energy += (eps * torch.exp2(torch.frexp(in_float64(part)).exponent.double() - 1)).square().sum()
    return float(energy) / 12
