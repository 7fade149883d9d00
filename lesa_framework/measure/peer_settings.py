"""The settings with which peers are measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from lesa_framework.errors import PeerError
from lesa_framework.interfaces.peer import Peer, PeerFamily
from lesa_framework.measure.cells import Choice
from lesa_framework.measure.counting import Tally
from lesa_framework.measure.lineup import Contender, uncached
from lesa_framework.measure.matching import match
from lesa_framework.measure.results import Pair
from lesa_framework.measure.sampling import Sampling
from lesa_framework.measure.workload import Workload


class PeerChooser:
    """Chooses the settings of peers, and makes peers with these settings.

    Args:
        sampling: Samples the batch on which peers are matched.
        group: That batch.
        tally: The work of the uncached run on it; None where work cannot be counted.
        num_steps: Steps of the sampler.
        seconds: How long the search for one peer's setting may take.
    """

    def __init__(
        self, sampling: Sampling, group: Sequence[Pair], tally: Tally | None, num_steps: int, seconds: float = math.inf
    ) -> None:
        self._pipe, self._seconds = sampling.pipe, seconds
        self._peers: dict[str, Peer] = {}
        searched = replace(uncached(num_steps), name="settings of peers")
        self._workload = None if tally is None else Workload(num_steps, lambda: sampling.sample(searched, group), tally)

    def choose(self, contender: Contender, family: PeerFamily) -> Choice:
        """Search for a setting whose work is at or just below the contender's NFE."""
        if self._workload is None or contender.nfe is None:
            return Choice(error="the work of this pipeline cannot be counted, so no setting can be matched to an NFE")
        found = match(family, self._pipe, self._workload, contender.nfe, contender.measure, self._seconds)
        if found.chosen is None:
            return Choice(note=found.note, error=found.error or "no settings were found")
        self._peers[contender.name] = found.chosen.peer
        return Choice(settings=dict(found.chosen.peer.settings), note=found.note)

    def peer(self, contender: Contender, choice: Choice | None) -> Peer | None:
        """The peer with the chosen settings, which may come from an earlier launch; None for other methods.

        Raises:
            PeerError: Its family no longer offers these settings.
        """
        if contender.peer is None or choice is None:
            return None
        if contender.name not in self._peers and self._workload is not None:
            ladders = contender.peer.ladders(self._pipe, self._workload)
            same = [peer for ladder in ladders for peer in ladder if dict(peer.settings) == choice.settings]
            if not same:
                raise PeerError(
                    f"{contender.name}: no longer offers its settings {choice.settings}. Begin with --fresh."
                )
            self._peers[contender.name] = same[0]
        return self._peers[contender.name]
