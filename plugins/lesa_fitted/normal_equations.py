"""Least squares whose data come in parts: only the normal equations of each sample are kept, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

#: Rows that this process found -> those of all processes.
Gather: TypeAlias = Callable[[Tensor], Tensor]
#: Numbers of a feature that are looked at together: more would only need more memory.
CHUNK = 1 << 20
#: How often samples are weighed anew.
_ROUNDS = 3
#: Of the median error: a sample that is fitted better than this counts no more than one that is fitted like this.
_LEAST = 0.02
#: Of the newest feature's energy: less than this of a feature, once the newer ones are taken off, counts as noise.
_RELATED = 1e-3
#: Kinds of device that have no float64.
_NARROW = ("mps",)


class NormalEquations:
    """`G_s w = m_s` for each sample s, with `G_s = R_s R_s^T` and `m_s = R_s y_s`.

    What counts is the logarithm of each sample's error, as in PSNR: `min over w of sum_s log |R_s^T w - y_s|^2`. So
    each sample is weighed by the inverse of its error, in a few rounds of least squares. Without this, the few samples
    whose pictures change their course decide about the weights of all.

    Args:
        size: How many weights w has.
        gather: Several processes add samples of their own at the same time; all get those of all.
    """

    def __init__(self, size: int, gather: Gather = lambda rows: rows) -> None:
        self.size, self._gather = size, gather
        # The gram, moment and energy of each.
        self._samples = torch.zeros(0, size * size + size + 1, dtype=torch.float64, device="cpu")

    def add(self, features: Sequence[Tensor], target: Tensor) -> None:
        """Add samples. One whose numbers are not finite, as when half precision overflows, is left out.

        Args:
            features: As many as there are weights, each of one shape; batch first.
            target: What their weighted sum should be; of the same shape.
        """
        flat, wanted = [feature.detach().flatten(1) for feature in features], target.detach().flatten(1)
        found = [self._sample([rows[number] for rows in flat], wanted[number]) for number in range(len(target))]
        finite = [sample for sample in found if bool(sample.isfinite().all())]
        rows = torch.stack(finite) if finite else self._samples[:0]
        self._samples = torch.cat([self._samples, self._gather(rows)])

    def _sample(self, rows: Sequence[Tensor], wanted: Tensor) -> Tensor:
        gram, moment, energy = (self._samples.new_zeros(size) for size in ((self.size, self.size), self.size, ()))
        for start in range(0, wanted.numel(), CHUNK):
            part = slice(start, start + CHUNK)
            columns, goal = torch.stack([in_float64(row[part]) for row in rows]), in_float64(wanted[part])
            gram += (columns @ columns.T).cpu()
            moment += (columns @ goal).cpu()
            energy += goal.square().sum().cpu()
        return torch.cat([gram.flatten(), moment, energy[None]])

    def solve(self, ridge: float) -> Tensor:
        """The weights.

        Args:
            ridge: Added to the diagonal, relative to its mean. Neighbouring features are nearly the same, and the
                history of an early step holds few: without it, weights of opposite signs grow large.

        Returns:
            Shape (size,), float64; not numbers when no sample was finite, which whoever uses them has to notice.
        """
        if not len(self._samples):
            return self._samples.new_full((self.size,), torch.nan)
        size = self.size
        grams = self._samples[:, : size**2].reshape(-1, size, size)
        moments, energies = self._samples[:, size**2 : -1].contiguous(), self._samples[:, -1]
        shares = torch.ones_like(energies)
        for _ in range(_ROUNDS):
            found = _least_squares(grams, moments, shares, ridge)
            errors = energies - 2 * moments @ found + torch.einsum("k,skl,l->s", found, grams, found)
            errors = errors.clamp_min(0)
            least = _LEAST * float(errors.median())
            shares = 1 / (errors + least) if least > 0 else torch.ones_like(errors)
            shares = shares / shares.mean()
        return _least_squares(grams, moments, shares, ridge)

    def directions(self) -> Tensor:
        """Changes of the weights that change predictions in ways that have nothing to do with each other, by as much.

        Neighbouring features are nearly the same. So one change of a weight moves a prediction a long way, and the
        change that moves it from one feature towards the next hardly moves it at all. A gradient method in the weights
        themselves crawls along the latter, which are where predictors differ.

        Returns:
            Shape (size, size), float64. A change of 1 along a column moves a prediction by about as much as the newest
            feature is large. What is less than `_RELATED` of a feature, once the newer ones are taken off, moves less.
        """
        size = self.size
        grams = self._samples[:, : size**2].reshape(-1, size, size)
        same = torch.eye(size, dtype=grams.dtype, device=grams.device)
        some = grams[grams[:, 0, 0] > 0]
        if not len(some):
            return same
        related = (some / some[:, :1, :1]).mean(0) + _RELATED * same
        inverse: Tensor = torch.linalg.inv(torch.linalg.cholesky(related))
        return inverse.T


def in_float64(values: Tensor) -> Tensor:
    """The values in float64: on their device, or on the CPU where it has none."""
    return (values.cpu() if values.device.type in _NARROW else values).double()


def energy(values: Tensor) -> Tensor:
    """The sum of squares in float64, shape (); values are looked at in parts."""
    total = in_float64(values.new_zeros(()))
    for part in torch.split(values.flatten(), CHUNK):
        total += in_float64(part).square().sum()
    return total


def _least_squares(grams: Tensor, moments: Tensor, shares: Tensor, ridge: float) -> Tensor:
    gram, moment = (grams * shares[:, None, None]).sum(0), (moments * shares[:, None]).sum(0)
    added = ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    inverse: Tensor = torch.linalg.pinv(gram + added, hermitian=True)
    return inverse @ moment
