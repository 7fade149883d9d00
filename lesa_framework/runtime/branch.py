"""One branch of a run: its history, and the latents that are kept with it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lesa_framework.runtime.path import Path
from lesa_framework.runtime.store import Store


@dataclass(eq=False)
class BranchState:
    """What an engine knows of a branch.

    Attributes:
        history: Its features.
        last: The newest step. One comes once, so a sampler that comes back to it, or further, is off the grid.
        latent_shape: Of the newest step.
        computed: The newest computed step, and the model's input; None unless somebody reads latents.
        path: The model's inputs, if the schedule reads them.
        freed: Bytes that were held before `free`.
    """

    history: Store
    last: int = -1
    latent_shape: torch.Size | None = None
    computed: tuple[int, Tensor] | None = None
    path: Path = field(default_factory=Path)
    freed: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of features and latents that are held, or were until they were freed."""
        computed = self.computed  # read once, and `freed` last: another thread may free them meanwhile
        latents: list[Tensor] = [*self.path.latents.values(), *(() if computed is None else computed[1:])]
        now = self.history.nbytes + sum(latent.nbytes for latent in latents)
        return max(now, self.freed)

    def free(self) -> None:
        """Free features and latents: no step is left that reads them."""
        self.freed = self.nbytes
        self.history.free()
        self.computed, self.path = None, Path()

    def mixes_with(self, other: BranchState) -> bool:
        """Whether their newest latents have one shape, and so have the features, as far as both have any."""
        mine, theirs = self.history, other.history
        have = bool(mine.entries and theirs.entries)
        return self.latent_shape == other.latent_shape and (not have or mine.kind[0] == theirs.kind[0])
