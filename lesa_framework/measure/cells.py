"""The cells of a benchmark: small parts that are measured once and stored, so that a stopped benchmark can resume."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from lesa_framework.measure.counting import Call


class _Cell(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass
class Readings:
    """What a timed run showed besides its samples; None and empty where nothing measures it.

    Attributes:
        cache_bytes: Bytes that the method kept when the run ended.
        peak_bytes: The most memory held beyond what was held before.
        split_seconds: Where the run's time went, by part.
        computed_call: Median seconds by part of a call in which a block ran.
        predicted_call: Median seconds by part of the other calls.
    """

    cache_bytes: int | None = None
    peak_bytes: int | None = None
    split_seconds: dict[str, float] = field(default_factory=dict)
    computed_call: dict[str, float] = field(default_factory=dict)
    predicted_call: dict[str, float] = field(default_factory=dict)


class Choice(_Cell):
    """The setting of a peer that was matched to an NFE.

    Attributes:
        settings: In the peer's own words; empty when there is an error.
        note: What a reader should know.
        error: Why it cannot be measured.
    """

    settings: dict[str, int | float | str] = Field(default_factory=dict)
    note: str = ""
    error: str | None = None


class Probe(_Cell):
    """Measurements of a method before it is timed; None and empty where something was not measured.

    Attributes:
        work: Arithmetic inside the blocks over that of one uncached step; None where it was not counted.
        flops: Floating-point operations of the transformer.
        cache_bytes: Bytes that are kept between calls.
        peak_bytes: The most memory held beyond what was held before.
        plans: Branch -> a letter for each step.
        fallbacks: How often a step was computed because something was not as assumed.
        step_rel_l2: Relative distance of the model's output from the uncached run's, step by step.
        calls: Of the uncached run, what each call did; empty where it was not counted.
        error: Why there is nothing.
    """

    work: int | float | None = None
    flops: int | None = None
    cache_bytes: int | None = None
    peak_bytes: int | None = None
    plans: dict[str, str] = Field(default_factory=dict)
    fallbacks: dict[str, int] = Field(default_factory=dict)
    step_rel_l2: list[float | None] = Field(default_factory=list)
    calls: list[Call] = Field(default_factory=list)
    error: str | None = None


class TimedRun(_Cell):
    """One timed run of a method on a batch, and how good it was.

    Attributes:
        launch: Which launch of the program this was: times compare only within one.
        seconds: Wall time of the call.
        scores: Score -> a value for each pair.
        images: Data URIs of those pairs of the batch whose images are kept.
        nfe: Steps that were computed, as the session reports; the sampler's of plain runs; None for peers.
        plans: Branch -> a letter a step, as the session reports.
        fallbacks: How often a step was computed because something was not as assumed.
        readings: What else the subject read.
        error: Why there is nothing.
    """

    launch: str
    seconds: float = 0.0
    scores: dict[str, list[float | None]] = Field(default_factory=dict)
    images: list[str] = Field(default_factory=list)
    nfe: int | None = None
    plans: dict[str, str] = Field(default_factory=dict)
    fallbacks: dict[str, int] = Field(default_factory=dict)
    readings: Readings = Field(default_factory=Readings)
    error: str | None = None
