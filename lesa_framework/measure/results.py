"""The results of a measurement, as every command writes them to a file. `SCHEMA_VERSION` grows with the format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from lesa_framework.measure.details import Details, Frozen, MetricInfo, Source
from lesa_framework.words import steps

SCHEMA_VERSION: Final = 2
#: The name of the row that everything is measured against.
UNCACHED: Final = "uncached"
#: The score that ranks methods.
QUALITY: Final = "psnr_db"
#: Scores that are measured on every sample.
ALWAYS: Final = (QUALITY, "ssim", "rel_l2")
#: Scores that every row has in JSON, null where they were not measured.
IN_EVERY_ROW: Final = (*ALWAYS, "caption_score")
#: Times that may be off by a larger share than this are marked as noisy.
NOISE_BOUND: Final = 0.1
#: A method whose work exceeds its NFE by more than this, in uncached steps, is excluded.
_ROUNDING = 0.05


def fewer_steps_name(num_steps: int) -> str:
    """Name of the row for a plain run with fewer steps."""
    return f"fewer_steps_{num_steps}"


class Kind(StrEnum):
    """The sort of a row."""

    UNCACHED = "uncached"
    """The run that everything is measured against."""
    CACHE = "cache"
    """A configuration of this framework."""
    PEER = "peer"
    """A cache of another library."""
    FEWER_STEPS = "fewer_steps"
    """A plain run with fewer steps."""


class Row(Frozen):
    """One method on one model: means over all prompt and seed pairs, None where something was not measured.

    Scores are flat keys of their own, such as `psnr_db`. `Results.metrics` describes them, and in Python they are
    the mapping `scores`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None] = Field(init=False)

    model: str
    """The model, as the user named it."""
    name: str
    """The method's name, unique within a model."""
    kind: Kind
    """The sort of the row."""
    family: str
    """What methods of one sort share: a predictor's kind, a peer's or sampler's name, `fewer_steps` or `uncached`."""
    schedule: str = ""
    """Where computed steps are: a name of the file's `schedules`, or empty."""
    nfe: int = Field(ge=1)
    """The number of computed steps at which it competes: a cache's as its schedule computes them, a peer's as it was
    matched to them, a plain run's steps."""
    num_steps: int
    """Steps of the sampler."""
    work: int | float | None = None
    """Work that was counted on the first batch, in uncached steps: arithmetic inside the blocks over that of one
    uncached step. Caches that look at the features may do more or less on other batches. Where it is None, the row
    competes by its `nfe`."""
    whole_steps: float | None = None
    """Of a peer that is ranked by its steps: how many it computed whole on the first batch, mean over the branches.
    What it computes in every step is in its `work` alone; a step that did part of the rest counts as that part. None
    for rows that are ranked by their work."""
    seconds: float | None = None
    """Median wall time of a sample, text encoding and decoding included."""
    speedup: float | None = None
    """Median over the batches of the uncached run's seconds divided by these."""
    timing_noise: float | None = None
    """How far its times may be off, as a share: the larger of the share of the time in which the program had no
    processor, and the median deviation of the batches' speed-ups from their median. None where neither is known."""
    speedup_noise: float | None = None
    """How far its speed-up may be off: the larger of its `timing_noise` and the uncached row's. `Results` sets it."""
    flops: int | None = None
    """Floating-point operations of the transformer for a sample, counted by torch."""
    cache_bytes: int | None = None
    """Bytes that the method keeps during a run of a batch."""
    peak_bytes: int | None = None
    """The most memory that a run of a batch held beyond what was held before it."""
    settings: dict[str, int | float | str | None] = Field(default_factory=dict)
    """A peer's settings, in its library's own words."""
    note: str = ""
    """Anything else that a reader should know."""
    error: str | None = None
    """Why there are no numbers."""

    @model_validator(mode="before")
    @classmethod
    def _in_every_row(cls, content: Any) -> Any:
        return {**dict.fromkeys(IN_EVERY_ROW), **content} if isinstance(content, dict) else content

    @property
    def scores(self) -> Mapping[str, float | None]:
        """Every score by name; `Results.metrics` describes them."""
        return self.__pydantic_extra__

    @property
    def psnr_db(self) -> float | None:
        """The score that ranks methods; None for the uncached run, and where every sample is identical to it."""
        return self.scores[QUALITY]

    @property
    def noisy(self) -> bool:
        """Whether its times are too uncertain to be compared."""
        return self.timing_noise is not None and self.timing_noise > NOISE_BOUND

    @property
    def noisy_speedup(self) -> bool:
        """Whether its speed-up is too uncertain to be compared: its own time is, or the uncached run's."""
        return self.noisy or (self.speedup_noise is not None and self.speedup_noise > NOISE_BOUND)

    @property
    def over(self) -> bool:
        """Whether it did more work than its NFE allows; where it is ranked by its steps, more whole steps."""
        return self.works_more if self.whole_steps is None else self.whole_steps > self.nfe + _ROUNDING

    @property
    def works_more(self) -> bool:
        """Whether it did more work than its NFE, as a peer may that is ranked by its steps."""
        return self.work is not None and self.work > self.nfe + _ROUNDING

    @property
    def competes(self) -> bool:
        """Whether it has a quality, and did not do more than its NFE allows."""
        return self.kind is not Kind.UNCACHED and self.error is None and self.psnr_db is not None and not self.over

    @property
    def exclusion(self) -> str | None:
        """Why it does not compete; None for rows that do, and for the uncached run."""
        if self.competes or self.kind is Kind.UNCACHED:
            return None
        if self.error is not None:
            return f"failed: {self.error}"
        if self.over and self.whole_steps is not None:
            return f"computed {steps(self.whole_steps)} whole steps, more than {self.nfe}"
        if self.over and self.work is not None:
            return f"did the work of {steps(self.work)} steps, more than {self.nfe}"
        if all(value is None for value in self.scores.values()):
            return "its samples were not scored"
        return "its samples are identical to the uncached run's"


class Pair(Frozen):
    """A prompt and a seed."""

    prompt: str
    seed: int


class ModelResults(Frozen):
    """Everything about one model that is not in the rows."""

    model: str
    """The model, as the user named it."""
    num_steps: int
    """Steps of the uncached and the cached runs."""
    batch: int
    """Samples in each call of the pipeline."""
    call: dict[str, Any] = Field(default_factory=dict)
    """Further arguments that the pipeline was called with."""
    properties: dict[str, Any] = Field(default_factory=dict)
    """What a reader should know of the model itself, such as its number of weights."""
    pairs: list[Pair] = Field(default_factory=list)
    """Prompts and seeds; none where the model was only timed."""
    details: dict[str, Details] = Field(default_factory=dict)
    """Method -> its values."""
    sources: dict[str, Source] = Field(default_factory=dict)
    """Method -> how to reproduce its numbers."""
    frames: int = 1
    """Frames of a sample: 1 for pictures, more for videos."""
    images: dict[str, list[str]] = Field(default_factory=dict)
    """Method -> data URIs of the first pairs' samples; a video's frames are side by side in one picture."""


class Difference(Frozen):
    """How far one method is ahead of another at the same NFE, pair by pair."""

    model: str
    nfe: int
    ours: str
    """The method with the best mean PSNR at this NFE."""
    theirs: str
    """One of the others."""
    mean_db: float
    """Mean over prompts of the difference in PSNR; positive when the best method is better."""
    low_db: float | None
    """Lower end of the 95 % interval; None with fewer than two prompts."""
    high_db: float | None
    """Upper end of the interval."""
    better_share: float
    """Share of the pairs on which the best method is better."""

    @model_validator(mode="after")
    def _has_both_ends_or_none(self) -> Self:
        if (self.low_db is None) != (self.high_db is None):
            raise ValueError("low_db and high_db: an interval has both or none")
        return self

    @property
    def certain(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low_db is not None and self.low_db > 0


class Results(Frozen):
    """A whole measurement."""

    schema_version: int = SCHEMA_VERSION
    """Version of this format."""
    title: str = ""
    """The heading of the page."""
    rows: list[Row]
    """One row for each method on each model."""
    differences: list[Difference] = Field(default_factory=list)
    """At each NFE the best method against each of the others."""
    models: list[ModelResults]
    """What belongs to each model."""
    metrics: dict[str, MetricInfo] = Field(default_factory=dict)
    """What each score is, in the order of the tables."""
    spec: dict[str, Any] = Field(default_factory=dict)
    """The benchmark's file, as read."""
    command: str = ""
    """The command line."""
    identity: str = ""
    """Of everything that the results depend on: by it, `lesa bench` sees that nothing is left to measure."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Versions and machine."""
    notes: list[str] = Field(default_factory=list)
    """Anything else that a reader should know."""

    @field_validator("rows")
    @classmethod
    def _a_ratio_is_as_noisy_as_its_noisier_time(cls, rows: list[Row]) -> list[Row]:
        uncached = {row.model: row.timing_noise for row in rows if row.kind is Kind.UNCACHED}

        def noise(row: Row) -> float | None:
            both = (row.timing_noise, uncached.get(row.model))
            return None if row.speedup is None else max((each for each in both if each is not None), default=None)

        return [row.model_copy(update={"speedup_noise": noise(row)}) for row in rows]

    @model_validator(mode="after")
    def _scores_are_described(self) -> Self:
        measured = {name for row in self.rows for name, value in row.scores.items() if value is not None}
        unknown = ", ".join(sorted(measured - self.metrics.keys()))
        if unknown:
            raise ValueError(f"rows: {unknown}: `metrics` has no description. Described: {', '.join(self.metrics)}")
        return self

    def of_model(self, model: str) -> list[Row]:
        """The rows of a model."""
        return [row for row in self.rows if row.model == model]

    def in_order(self, model: str) -> list[Row]:
        """The rows of a model as tables show them.

        The uncached run, then by NFE, the most computed steps first: the best PSNR on top, then what is excluded, and
        what failed at the end.
        """
        return sorted(
            self.of_model(model),
            key=lambda row: (
                row.kind is not Kind.UNCACHED, -row.nfe, row.error is not None, not row.competes, -(row.psnr_db or 0.0),
            ),
        )  # fmt: skip

    def best(self, model: str) -> set[str]:
        """The names of the rows with the highest PSNR of those that compete at their NFE."""
        return {row.name for nfe in self.nfes(model) for row in ranked(self.of_model(model), nfe)[:1]}

    def nfes(self, model: str) -> list[int]:
        """Numbers of computed steps at which methods of a model compete, most first."""
        return sorted({row.nfe for row in self.of_model(model) if row.kind is not Kind.UNCACHED}, reverse=True)


def ranked(rows: Sequence[Row], nfe: int) -> list[Row]:
    """The rows of one model that compete at an NFE, best PSNR first."""
    return sorted((row for row in rows if row.nfe == nfe and row.competes), key=lambda row: -(row.psnr_db or 0.0))
