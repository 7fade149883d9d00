"""The latents of a branch, for schedules that add up changes from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(eq=False)
class Path:
    """`StepContext.path` of a branch.

    Attributes:
        latents: The model's inputs by step, from the computed step before the newest one on. Replaced and never
            changed: another thread may read the report meanwhile.
    """

    latents: Mapping[int, Tensor] = field(default_factory=dict)
    _computed: int = -1  # the newest computed step; the history may have lost it

    def add(self, step: int, latent: Tensor, *, computed: bool) -> None:
        """Keep a copy of a step's latent; after a computed step, nothing from before the computed step before it."""
        first = self._computed if computed else -1
        kept = {earlier: held for earlier, held in self.latents.items() if earlier >= first}
        self.latents = {**kept, step: latent.detach().clone()}
        if computed:
            self._computed = step
