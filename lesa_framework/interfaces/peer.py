"""Peers: somebody else's caches, attached and detached as their authors meant them to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias, runtime_checkable

from torch import nn

#: What a row of results shows of a peer's configuration, in the peer's own words.
PeerSettings: TypeAlias = Mapping[str, int | float | str]


class HasTransformer(Protocol):
    """A diffusers pipeline, or anything else that holds a transformer under that name."""

    transformer: nn.Module


class PeerWorkload(Protocol):
    """The runs that peers are matched on: a few samples, made the same way each time."""

    @property
    def num_steps(self) -> int:
        """Steps of the sampler."""

    @property
    def branches(self) -> int:
        """Calls of the transformer a step: 2 where guidance makes a call of its own."""

    @property
    def blocks(self) -> int:
        """Blocks that do arithmetic in an uncached call."""

    def run(self) -> object:
        """Sample once, with whatever is attached to the pipeline; for peers that have to be calibrated."""


class Peer(Protocol):
    """A cache of somebody else's with all its settings chosen."""

    @property
    def name(self) -> str:
        """The name of its family, and of its rows."""

    @property
    def settings(self) -> PeerSettings:
        """What was chosen."""

    def attach(self, pipe: HasTransformer) -> AbstractContextManager[None]:
        """Put the peer into the pipeline; leaving the context takes it out, and everything is as before.

        Its state is fresh at the start. Inside, make whole runs of the number of steps that it was made for.

        Raises:
            PeerError: The peer cannot be attached to this.
        """


@runtime_checkable
class PeerFamily(Protocol):
    """A kind of cache, in which one setting decides how much work is done. Nothing need be derived from it.

    Example:
        A cache whose interval is searched, `Every` being a [`Peer`][lesa_framework.Peer]::

            class EveryFamily:
                name = "every"

                def refusal(self, pipe):
                    return None

                def ladders(self, pipe, workload):
                    return [[Every(interval) for interval in range(2, workload.num_steps + 1)]]
    """

    @property
    def name(self) -> str:
        """The name of its rows."""

    def refusal(self, pipe: HasTransformer) -> str | None:
        """Why it cannot be attached to this, in a sentence for the user; None when it can."""

    def ladders(self, pipe: HasTransformer, workload: PeerWorkload) -> Sequence[Sequence[Peer]]:
        """Candidates for matching, each ladder from the most work to the least.

        The first ladder has the authors' defaults in everything but the one setting that is climbed. The others let
        go of more and more of them; they are for targets that the ladders before cannot reach.

        Args:
            pipe: The pipeline, bare.
            workload: What the candidates will be run on.

        Raises:
            PeerError: There are none for this.
        """
