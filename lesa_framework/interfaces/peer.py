"""Peers: caches of other libraries, attached and detached as their authors intend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias, runtime_checkable

from torch import nn

PeerSettings: TypeAlias = Mapping[str, int | float | str]
"""A peer's configuration as a row of results shows it, in the peer's own words."""


class HasTransformer(Protocol):
    """A diffusers pipeline, or anything else that holds a transformer under that name."""

    transformer: nn.Module


class PeerWorkload(Protocol):
    """The run on which peers are matched: a few samples, made the same way each time."""

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
        """Sample once, with whatever is attached to the pipeline; for peers that need calibration."""


class Peer(Protocol):
    """A cache of another library with all its settings chosen."""

    @property
    def name(self) -> str:
        """The name of its family, and of its rows."""

    @property
    def settings(self) -> PeerSettings:
        """What was chosen."""

    def attach(self, pipe: HasTransformer) -> AbstractContextManager[None]:
        """Attach the peer to the pipeline; leaving the context detaches it, and everything is as before.

        Its state is fresh at the start. Inside, make only whole runs, of the number of steps that it was made for.

        Raises:
            PeerError: The peer cannot be attached to this.
        """


@runtime_checkable
class PeerFamily(Protocol):
    """A kind of cache in which one setting decides how much work is done. You need not derive from it.

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
        """Why it cannot be attached to this pipeline, in a sentence for the user; None when it can. Runs nothing."""

    def ladders(self, pipe: HasTransformer, workload: PeerWorkload) -> Sequence[Sequence[Peer]]:
        """Candidates for matching, each ladder from the most work to the least.

        The first ladder keeps the authors' defaults in everything but the one setting that is searched. Each further
        ladder gives up more of them, for an NFE that the ladders before it cannot reach.

        Args:
            pipe: The pipeline, bare, with exactly one transformer.
            workload: The run on which candidates are counted.

        Raises:
            PeerError: There are no candidates for this pipeline.
        """


@runtime_checkable
class ToldPeerFamily(Protocol):
    """A kind of cache that is told which steps to compute, so nothing is searched. You need not derive from it.

    It is told the steps that the caches beside it compute, and ranked by them, whatever it computes in the others.

    Example:
        A cache that takes a list of steps, `At` being a [`Peer`][lesa_framework.Peer]::

            class AtFamily:
                name = "at"

                def refusal(self, pipe):
                    return None

                def at(self, steps, pipe, workload):
                    return At(steps)
    """

    @property
    def name(self) -> str:
        """What the names of its rows begin with."""

    def refusal(self, pipe: HasTransformer) -> str | None:
        """Why it cannot be attached to this pipeline, in a sentence for the user; None when it can. Runs nothing."""

    def at(self, steps: Sequence[int], pipe: HasTransformer, workload: PeerWorkload) -> Peer:
        """The peer that computes these steps whole.

        Args:
            steps: The steps to compute, counted from 0, in order; the first is 0.
            pipe: The pipeline, bare, with exactly one transformer.
            workload: The run that it is made for.

        Raises:
            PeerError: It cannot compute these steps on this pipeline.
        """
