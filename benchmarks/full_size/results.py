"""What the benchmark writes: one JSON file for each model and device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lesa_framework.files import whole_file

SCHEMA_VERSION = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Row(_Frozen):
    """One method on one model."""

    name: str
    """The method; `uncached` is the bare model."""
    num_steps: int
    """Steps of the sampler."""
    error: str | None = None
    """Why there are no numbers; None when there are."""
    settings: dict[str, int | float | str | None] = Field(default_factory=dict)
    """What a peer was set to."""
    note: str = ""
    """What a reader of the row should know; empty when all is as it should be."""
    nfe: int | None = None
    """Steps in which the block stack ran, as the engine reports; None for peers, which `work_steps` serves."""
    work_steps: float | None = None
    """Uncached steps that take as many floating-point operations, by torch's counter: what was really computed."""
    plans: dict[str, str] = Field(default_factory=dict)
    """Branch -> one letter a step, F computed and P predicted."""
    fallbacks: dict[str, int] = Field(default_factory=dict)
    """How often a step was computed because something was not as assumed."""
    seconds: float | None = None
    """Median wall time of the whole loop, synchronised before and behind."""
    samples: list[float] = Field(default_factory=list)
    """All of them; the n-th of every row were taken in turns."""
    speedup: float | None = None
    """Median over the rounds of uncached seconds / these seconds of the same round."""
    flops: int | None = None
    """Floating-point operations of a run."""
    cache_bytes: int | None = None
    """What the method keeps in a run: the engine's histories; for peers what the allocator holds beyond the model."""
    peak_bytes: int | None = None
    """The most that was allocated in a run, model included; None on a CPU."""
    split_seconds: dict[str, float] = Field(default_factory=dict)
    """The median run's time by part: prelude, stack, predictor, head, sampler."""
    computed_call: dict[str, float] = Field(default_factory=dict)
    """Median seconds by part of a call in which a block was called."""
    predicted_call: dict[str, float] = Field(default_factory=dict)
    """Median seconds by part of the other calls."""


class Bandwidth(_Frozen):
    """How near a predictor comes to a copy of as many bytes, measured in turns."""

    name: str
    """The row whose predictor it is."""
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


class Results(_Frozen):
    """One model on one device."""

    schema_version: int = SCHEMA_VERSION
    model: str
    """`flux`, `qwen_image` or `hunyuan_video`."""
    title: str
    """The model and the shape, for people."""
    tiny: bool
    """Whether this is the small stand-in that the tests run."""
    parameters: int
    """Of the transformer; its weights are random."""
    weights_bytes: int
    """Of the transformer."""
    config: dict[str, Any]
    """The transformer's configuration."""
    scheduler: dict[str, Any]
    """The sampler's settings."""
    latent_shape: tuple[int, ...]
    """Batch first."""
    text_tokens: tuple[int, ...]
    """For each branch."""
    dtype: str
    """Of the model."""
    tap: str
    """Where the engine takes the feature."""
    seed: int
    """Of weights, prompts and noise."""
    rows: list[Row]
    """One for each method."""
    bandwidth: list[Bandwidth]
    """One for each kind of predictor."""
    error: str | None = None
    """Why the model could not be measured at all."""
    environment: dict[str, str]
    """Device, driver and versions."""
    command: str
    """The command line."""
    notes: list[str] = Field(default_factory=list)
    """What a reader should know."""

    def row(self, name: str) -> Row:
        """Look a row up."""
        return next(row for row in self.rows if row.name == name)


def save(results: Results, path: Path) -> None:
    """Write them, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")
