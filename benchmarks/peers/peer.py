"""What a peer is: somebody else's cache, attached and detached as its authors meant it to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from benchmarks.peers.holder import HasTransformer
from benchmarks.peers.workload import Workload

#: What a row of results shows of a peer's configuration, in the peer's own words.
Settings: TypeAlias = Mapping[str, int | float | str]


class Peer(Protocol):
    """A cache of somebody else's with all its settings chosen."""

    @property
    def name(self) -> str:
        """The name of its family, and of its rows."""

    @property
    def settings(self) -> Settings:
        """What was chosen."""

    def attach(self, pipe: HasTransformer) -> AbstractContextManager[None]:
        """Put the peer into the pipeline; leaving the context takes it out, and everything is as before.

        Its state is fresh at the start. Inside, make whole runs of the number of steps that it was made for.

        Raises:
            PeerError: The peer cannot be attached to this.
        """


class Family(Protocol):
    """A kind of cache, in which one setting decides how much work is done."""

    @property
    def name(self) -> str:
        """The name of its rows."""

    def refusal(self, pipe: HasTransformer) -> str | None:
        """Why it cannot be attached to this, in a sentence for the user; None when it can."""

    def ladders(self, pipe: HasTransformer, workload: Workload) -> Sequence[Sequence[Peer]]:
        """Candidates for matching, each ladder from the most work to the least.

        The first ladder has the authors' defaults in everything but the one setting that is climbed. The others let
        go of more and more of them; they are for targets that the ladders before cannot reach.
        """
