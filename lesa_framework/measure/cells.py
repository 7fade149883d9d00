"""The cells of a benchmark: small parts that are measured once and stored, so that a stopped benchmark can resume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from pydantic import Field

from lesa_framework.interfaces.peer import Peer
from lesa_framework.measure.counting import Call
from lesa_framework.measure.details import Measurements
from lesa_framework.measure.lineup import Contender
from lesa_framework.place import Pipeline
from lesa_framework.session import Session


class Cell(Measurements):
    """What one run of a method showed: the search for a peer's settings, a probe, or a timed run on a batch.

    None and empty where something was not measured.
    """

    launch: str = ""
    """Of timed runs: which launch of the program this was. Times compare only within one."""
    seconds: float = 0.0
    """Of timed runs: wall time of the call."""
    waited: float | None = None
    """Of timed runs on a CPU: seconds of the call in which it had no processor."""
    images: list[str] = Field(default_factory=list)
    """Data URIs of those pairs of the batch whose images are kept."""
    nfe: int | None = None
    """Steps that were computed, as the session reports; the sampler's of plain runs; None for peers."""
    work: int | float | None = None
    """Arithmetic inside the blocks over that of one uncached step."""
    whole_steps: float | None = None
    """Of peers, the steps that were computed whole; what is computed in every step is no step."""
    flops: int | None = None
    """Floating-point operations of the transformer."""
    cache_bytes: int | None = None
    """Bytes that are kept between calls."""
    peak_bytes: int | None = None
    """The most memory held beyond what was held before."""
    calls: list[Call] = Field(default_factory=list)
    """Of the uncached run's probe, the work of each call."""
    settings: dict[str, int | float | str] = Field(default_factory=dict)
    """Of peers, what a search found, in the peer's own words."""
    note: str = ""
    """What a reader should know of that search."""
    error: str | None = None
    """Why there is nothing."""


@dataclass
class Entry:
    """A method, and everything that was measured of it so far.

    Attributes:
        contender: The method.
        choice: Of peers, what a search found; empty before it.
        peer: Of peers, the one with these settings.
        probe: The untimed run; None before it.
        runs: The timed runs, one for each batch; none after a failed probe.
        warm: Whether this launch has run it already.
    """

    contender: Contender
    choice: Cell = field(default_factory=Cell)
    peer: Peer | None = None
    probe: Cell | None = None
    runs: list[Cell] = field(default_factory=list)
    warm: bool = False

    def attached(self, pipe: Pipeline) -> AbstractContextManager[Session | None]:
        """Attach the method inside the context; see `Contender.attached`."""
        return self.contender.attached(pipe, self.peer)

    @property
    def nfe(self) -> int | None:
        """The NFE at which it competes: as planned or, where that depends on data, the most that a batch needed."""
        reported = [run.nfe for run in self.runs if run.nfe is not None]
        return self.contender.nfe if self.contender.nfe is not None else max(reported, default=None)

    @property
    def error(self) -> str | None:
        """Why it has no numbers; None before it is run."""
        parts = (self.choice, self.probe or Cell(), *self.runs)
        return next((part.error for part in parts if part.error is not None), None)

    @property
    def completed(self) -> Cell:
        """The untimed run; values that it did not measure come from the timed runs."""
        probe, first = self.probe or Cell(), next((run for run in self.runs if run.plans), None)
        found: dict[str, object] = {
            "work": _most(probe.work, [run.nfe for run in self.runs]),
            "cache_bytes": _most(probe.cache_bytes, [run.cache_bytes for run in self.runs]),
            "peak_bytes": _most(probe.peak_bytes, [run.peak_bytes for run in self.runs]),
        }
        if first is not None and not probe.plans:
            fallbacks: Counter[str] = Counter()
            for run in self.runs:
                fallbacks.update(run.fallbacks)
            found |= {"plans": first.plans, "fallbacks": dict(fallbacks)}
        return probe.model_copy(update=found)


def _most(probed: float | None, reported: Sequence[float | None]) -> float | None:
    """The probe's measurement; without one, the most that a timed run reported."""
    known = [value for value in reported if value is not None]
    return probed if probed is not None else max(known, default=None)
