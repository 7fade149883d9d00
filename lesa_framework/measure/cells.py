"""The cells of a benchmark: small parts that are measured once and stored, so that a stopped benchmark can resume."""

from __future__ import annotations

from pydantic import Field

from lesa_framework.measure.counting import Call
from lesa_framework.measure.details import Frozen


class Cell(Frozen):
    """What one run of a method showed: the search for a peer's settings, a probe, or a timed run on a batch.

    None and empty where something was not measured.
    """

    launch: str = ""
    """Of timed runs: which launch of the program this was. Times compare only within one."""
    seconds: float = 0.0
    """Of timed runs: wall time of the call."""
    scores: dict[str, list[float | None]] = Field(default_factory=dict)
    """Score -> a value for each pair."""
    images: list[str] = Field(default_factory=list)
    """Data URIs of those pairs of the batch whose images are kept."""
    nfe: int | None = None
    """Steps that were computed, as the session reports; the sampler's of plain runs; None for peers."""
    work: int | float | None = None
    """Arithmetic inside the blocks over that of one uncached step."""
    flops: int | None = None
    """Floating-point operations of the transformer."""
    cache_bytes: int | None = None
    """Bytes that are kept between calls."""
    peak_bytes: int | None = None
    """The most memory held beyond what was held before."""
    plans: dict[str, str] = Field(default_factory=dict)
    """Branch -> a letter for each step."""
    fallbacks: dict[str, int] = Field(default_factory=dict)
    """How often a step was computed because something was not as assumed."""
    step_rel_l2: list[float | None] = Field(default_factory=list)
    """Relative distance of the model's output from the uncached run's, step by step."""
    calls: list[Call] = Field(default_factory=list)
    """Of the uncached run's probe, the work of each call."""
    split_seconds: dict[str, float] = Field(default_factory=dict)
    """Where the run's time went, by part."""
    computed_call: dict[str, float] = Field(default_factory=dict)
    """Median seconds by part of a call in which a block ran."""
    predicted_call: dict[str, float] = Field(default_factory=dict)
    """Median seconds by part of the other calls."""
    settings: dict[str, int | float | str] = Field(default_factory=dict)
    """Of peers, what a search found, in the peer's own words."""
    note: str = ""
    """What a reader should know of that search."""
    error: str | None = None
    """Why there is nothing."""
