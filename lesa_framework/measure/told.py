"""A family of peers that is told its steps, in the form that the search takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lesa_framework.interfaces.peer import HasTransformer, Peer, PeerWorkload, ToldPeerFamily


@dataclass(frozen=True)
class Told:
    """A family that is told its steps, as a search takes it: the only candidate is the one with these steps."""

    family: ToldPeerFamily
    steps: tuple[int, ...]

    @property
    def name(self) -> str:
        """The family's."""
        return self.family.name

    def refusal(self, pipe: HasTransformer) -> str | None:
        """The family's."""
        return self.family.refusal(pipe)

    def ladders(self, pipe: HasTransformer, workload: PeerWorkload) -> Sequence[Sequence[Peer]]:
        """One ladder with one rung."""
        return [[self.family.at(self.steps, pipe, workload)]]
