"""What a benchmark results in, as it is written to a results file. `SCHEMA_VERSION` grows when the format changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lesa_framework.errors import ConfigError
from lesa_framework.measure.rows import Pair

SCHEMA_VERSION = 1
#: A method whose counted work is above its target by more than this, in uncached steps, missed it.
_ROUNDING = 0.05


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Kind(StrEnum):
    """What a row is."""

    UNCACHED = "uncached"
    """The run that everything is measured against."""
    CACHE = "cache"
    """A configuration of this framework."""
    PEER = "peer"
    """Somebody else's cache."""
    FEWER_STEPS = "fewer_steps"
    """A plain run with fewer steps."""


class BenchRow(_Frozen):
    """One method on one model. Means are over all prompt and seed pairs; None where something was not measured."""

    model: str
    """The model, as it was asked for."""
    name: str
    """The method's name, unique for a model."""
    kind: Kind
    """What the row is."""
    family: str
    """What methods of one sort share: a predictor's kind, a peer's name, `fewer_steps` or `uncached`."""
    schedule: str = ""
    """Where computed steps are: a name of the file's `schedules`, or empty."""
    target_nfe: int
    """The number of computed steps that it competes at."""
    num_steps: int
    """Steps of the sampler."""
    nfe: int | float | None = None
    """Work that was really done on the first batch, in uncached steps: arithmetic inside the blocks over that of one
    uncached step. Caches that look at the features may do more or less on other batches."""
    psnr_db: float | None = None
    """Float PSNR against the uncached run; None for the uncached run, and where every image is identical."""
    ssim: float | None = None
    """Structural similarity to the uncached run."""
    rel_l2: float | None = None
    """Relative Euclidean distance of the final latents from the uncached run's."""
    feature_rel_l2: float | None = None
    """Relative distance of the model's output from the uncached run's, mean over the steps of the first batch."""
    caption_score: float | None = None
    """Does the picture show what its caption names?"""
    scores: dict[str, float | None] = Field(default_factory=dict)
    """Further metrics by name, such as `lpips`."""
    seconds: float | None = None
    """Median wall time a sample, text encoding and decoding included."""
    speedup: float | None = None
    """Median over the batches of the uncached run's seconds divided by these."""
    flops: int | None = None
    """Floating-point operations of the transformer a sample, counted by torch."""
    cache_bytes: int | None = None
    """Bytes that the method keeps during a run of a batch."""
    peak_bytes: int | None = None
    """The most memory that a run of a batch held beyond what was held before it."""
    settings: dict[str, int | float | str] = Field(default_factory=dict)
    """What a peer was set to, in its own words."""
    note: str = ""
    """What a reader should know."""
    error: str | None = None
    """Why there are no numbers."""

    @property
    def competes(self) -> bool:
        """Whether it has a quality, and did not do more work than its target allows."""
        known = self.kind is not Kind.UNCACHED and self.error is None and self.psnr_db is not None
        return known and (self.nfe is None or self.nfe <= self.target_nfe + _ROUNDING)


class MethodDetails(_Frozen):
    """One method's values pair by pair, in the order of `ModelResults.pairs`, and what it did step by step."""

    psnr_db: list[float | None] = Field(default_factory=list)
    ssim: list[float | None] = Field(default_factory=list)
    rel_l2: list[float | None] = Field(default_factory=list)
    caption_score: list[float | None] = Field(default_factory=list)
    scores: dict[str, list[float | None]] = Field(default_factory=dict)
    seconds: list[float] = Field(default_factory=list)
    """Wall time of each batch."""
    plans: dict[str, str] = Field(default_factory=dict)
    """Branch -> a letter a step: F computed, P predicted, a digit the tenths of the work that were done."""
    fallbacks: dict[str, int] = Field(default_factory=dict)
    """How often a step was computed because something was not as assumed."""
    step_rel_l2: list[float | None] = Field(default_factory=list)
    """For each step the relative distance of the model's output from the uncached run's, over the first batch."""


class Source(_Frozen):
    """How to get a method's numbers again."""

    config: str = ""
    """Its configuration as YAML; empty for plain runs and peers."""
    command: str = ""
    """A command that measures it again."""


class ModelResults(_Frozen):
    """Everything about one model that is not in the rows."""

    model: str
    """The model, as it was asked for."""
    num_steps: int
    """Steps of the uncached and the cached runs."""
    batch: int
    """Samples a call of the pipeline."""
    call: dict[str, Any] = Field(default_factory=dict)
    """Further arguments that the pipeline was called with."""
    pairs: list[Pair] = Field(default_factory=list)
    """Prompts and seeds."""
    details: dict[str, MethodDetails] = Field(default_factory=dict)
    """Method -> its values."""
    sources: dict[str, Source] = Field(default_factory=dict)
    """Method -> where its numbers come from."""
    frames: int = 1
    """Frames of a sample: 1 for pictures, more for videos."""
    images: dict[str, list[str]] = Field(default_factory=dict)
    """Method -> data URIs of the first pairs' samples; a video's frames stand side by side in one picture."""


class Difference(_Frozen):
    """How far one method is ahead of another at the same target, pair by pair."""

    model: str
    target_nfe: int
    ours: str
    """The method with the best mean PSNR at this target."""
    theirs: str
    """One of the others."""
    mean_db: float
    """Mean over prompts of the difference in PSNR; positive when ours is better."""
    low_db: float | None
    """Lower end of the 95 % interval; None with fewer than two prompts."""
    high_db: float | None
    """Upper end of it."""
    better_share: float
    """On which share of the pairs ours is better."""

    @property
    def sure(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low_db is not None and self.low_db > 0


class MetricInfo(_Frozen):
    """What a further metric is, for headings."""

    heading: str
    higher_is_better: bool


class BenchResults(_Frozen):
    """A whole benchmark."""

    schema_version: int = SCHEMA_VERSION
    """Version of this format."""
    title: str = ""
    """What it is about."""
    rows: list[BenchRow]
    """One for each method on each model."""
    differences: list[Difference] = Field(default_factory=list)
    """At each target the best method against each of the others."""
    models: list[ModelResults]
    """What belongs to each model."""
    metrics: dict[str, MetricInfo] = Field(default_factory=dict)
    """What the names in `scores` mean."""
    spec: dict[str, Any] = Field(default_factory=dict)
    """The benchmark's file, as it was read."""
    command: str = ""
    """The command line."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Versions and machine."""
    notes: list[str] = Field(default_factory=list)
    """What a reader should know."""

    def of_model(self, model: str) -> list[BenchRow]:
        """The rows of a model."""
        return [row for row in self.rows if row.model == model]

    def targets(self, model: str) -> list[int]:
        """Numbers of computed steps at which methods of a model compete, most first."""
        return sorted({row.target_nfe for row in self.of_model(model) if row.kind is not Kind.UNCACHED}, reverse=True)


def ranked(rows: Sequence[BenchRow], target: int) -> list[BenchRow]:
    """The rows of one model that compete at a target, best PSNR first."""
    return sorted(
        (row for row in rows if row.target_nfe == target and row.competes), key=lambda row: -(row.psnr_db or 0.0)
    )


def read_results(path: Path) -> BenchResults:
    """Read a results file of `lesa bench`.

    Raises:
        ConfigError: It cannot be read, is none, or has a format that this version does not know.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}). Give a file that `lesa bench` wrote.") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version is None:
        raise ConfigError(f"{path}: has no schema_version. Give a file that `lesa bench` wrote.")
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"{path}: its schema_version is {version}, and this version of lesa-framework reads {SCHEMA_VERSION}. "
            "Run the benchmark again, or use the version of lesa-framework that it names under environment."
        )
    try:
        return BenchResults.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {place}: {first['msg']}. Give a file that `lesa bench` wrote.") from error
