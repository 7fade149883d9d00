"""Parts of a results file: what a score is, and of one method its values pair by pair and what it did step by step."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """A part of a results file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Bandwidth(Frozen):
    """How close a prediction comes to the speed of copying as many bytes; both are timed in turns."""

    taps: int
    """Features that are read."""
    feature_shape: tuple[int, ...]
    """Batch first."""
    dtype: str
    """Of the features."""
    bytes_read: int
    """Taps times a feature's bytes."""
    bytes_written: int
    """A feature's bytes."""
    seconds: float
    """Median time of a prediction."""
    bytes_per_second: float
    """Read and written."""
    copy_seconds: float
    """Median time of a device-to-device copy that reads and writes as many bytes."""
    copy_bytes_per_second: float
    """Read and written."""
    share_of_copy: float
    """The predictor's bandwidth divided by the copy's."""
    samples: int
    """Timings of each."""


class Measurements(Frozen):
    """What one run of a method showed, or all of its runs. Empty where something was not measured."""

    scores: dict[str, list[float | None]] = Field(default_factory=dict)
    """Score -> a value for each pair; None where a metric has no answer."""
    plans: dict[str, str] = Field(default_factory=dict)
    """Branch -> one letter per step: F computed, P predicted, a digit how many tenths of the work were done."""
    fallbacks: dict[str, int] = Field(default_factory=dict)
    """How often a step was computed because an assumption failed."""
    step_rel_l2: list[float | None] = Field(default_factory=list)
    """For each step the relative distance of the model's output from the uncached run's, over the first batch."""
    split_seconds: dict[str, float] = Field(default_factory=dict)
    """Seconds by part (prelude, stack, predictor, head, sampler) of the run; of several, of the median one."""
    computed_call: dict[str, float] = Field(default_factory=dict)
    """Median seconds by part of a call in which a block was called."""
    predicted_call: dict[str, float] = Field(default_factory=dict)
    """Median seconds by part of the other calls."""


class Details(Measurements):
    """One method's values pair by pair, in the order of `ModelResults.pairs`, and what it did step by step."""

    seconds: list[float] = Field(default_factory=list)
    """Wall time of each batch."""
    bandwidth: Bandwidth | None = None
    """The predictor's bandwidth, where it was measured."""


class Source(Frozen):
    """How to reproduce a method's numbers."""

    config: str = ""
    """Its configuration as YAML; empty for plain runs and peers."""
    command: str = ""
    """A command that measures it."""


class MetricInfo(Frozen):
    """What a score is, for headings."""

    heading: str
    """Its heading in tables, with the unit if it has one."""
    summary: str
    """What it is, in one line."""
    higher_is_better: bool
    """Whether higher values are better."""
    digits: int = Field(3, ge=0, le=15)
    """Decimals in tables."""
