"""Least squares whose data come in parts: only the normal equations are kept, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Numbers of a feature that are looked at together: more would only need more memory.
_CHUNK = 1 << 20


@dataclass
class NormalEquations:
    """`G w = m` with `G = sum R R^T` and `m = sum R y`.

    Args:
        size: How many weights w has.
    """

    size: int

    def __post_init__(self) -> None:
        self.gram = torch.zeros(self.size, self.size, dtype=torch.float64)
        self.moment = torch.zeros(self.size, dtype=torch.float64)

    def add(self, features: Sequence[Tensor], target: Tensor) -> None:
        """Add data.

        Args:
            features: As many as there are weights, each of one shape.
            target: What their weighted sum should be; of the same shape.
        """
        rows, wanted = [feature.detach().flatten() for feature in features], target.detach().flatten()
        for start in range(0, wanted.numel(), _CHUNK):
            part = slice(start, start + _CHUNK)
            columns = torch.stack([row[part].double() for row in rows])
            self.gram += (columns @ columns.T).cpu()
            self.moment += (columns @ wanted[part].double()).cpu()

    def solve(self, ridge: float) -> Tensor:
        """The weights.

        Args:
            ridge: Added to the diagonal, relative to its mean. Neighbouring features are nearly the same, and the
                history of an early step holds few: without it, weights of opposite signs grow large.

        Returns:
            Shape (size,), float64.
        """
        added = ridge * self.gram.diagonal().mean()
        inverse: Tensor = torch.linalg.pinv(self.gram + added * torch.eye(self.size).double(), hermitian=True)
        return inverse @ self.moment
