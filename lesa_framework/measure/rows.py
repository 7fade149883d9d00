"""What a comparison results in, as it is written to a results file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

UNCACHED = "uncached"


def fewer_steps_name(num_steps: int) -> str:
    """Name of the row for a plain run with fewer steps."""
    return f"fewer_steps_{num_steps}"


class Row(BaseModel):
    """One method of a comparison. Means are over all prompt and seed pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """The configuration's name, `uncached` or `fewer_steps_<n>`."""
    nfe: int
    """Steps in which the block stack ran."""
    num_steps: int
    """Steps of the sampler."""
    psnr_db: float | None
    """Float PSNR against the uncached run; None for the uncached run, and where every image is identical."""
    ssim: float | None
    """Structural similarity to the uncached run."""
    rel_l2: float | None
    """Relative Euclidean distance of the final latents from the uncached run's."""
    caption_score: float | None
    """Does the picture show what its caption names? None when nothing can judge that."""
    seconds: float
    """Wall time an image, text encoding and decoding included."""
    speedup: float
    """The uncached run's seconds divided by these."""
    cache_bytes: int
    """Bytes of all histories of a batch."""


class PairDetails(BaseModel):
    """One method's values for every pair, in the order of `Results.pairs`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    psnr_db: list[float | None]
    ssim: list[float | None]
    rel_l2: list[float | None]
    caption_score: list[float | None]
    seconds: list[float]
    """Wall time of each batch."""
    plans: dict[str, str]
    """Branch -> one letter a step, F computed and P predicted."""
    fallbacks: dict[str, int]
    """How often a step was computed because something was not as assumed."""


class Pair(BaseModel):
    """A prompt and a seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str
    seed: int


class Results(BaseModel):
    """A whole comparison."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str
    """What was asked for with `--model`."""
    num_steps: int
    """Steps of the uncached and the cached runs."""
    rows: list[Row]
    """One for each method."""
    pairs: list[Pair] = Field(default_factory=list)
    """Prompts and seeds."""
    details: dict[str, PairDetails] = Field(default_factory=dict)
    """Row name -> its values pair by pair."""
    configs: dict[str, str] = Field(default_factory=dict)
    """Row name -> its configuration as YAML."""
    call: dict[str, Any] = Field(default_factory=dict)
    """Further arguments that the pipeline was called with."""
    batch: int = 0
    """Images a batch."""
    command: str = ""
    """The command line."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Versions and machine."""
    notes: list[str] = Field(default_factory=list)
    """What a reader should know."""

    def row(self, name: str) -> Row:
        """Look a row up."""
        return next(row for row in self.rows if row.name == name)

    @property
    def fewer_steps(self) -> list[Row]:
        """The rows of plain runs with fewer steps."""
        return [row for row in self.rows if row.name != UNCACHED and row.name not in self.configs]


def best_per_nfe(rows: Sequence[Row]) -> set[str]:
    """Names of the rows with the highest PSNR for their NFE, plain runs with fewer steps included."""
    best = set()
    for nfe in {row.nfe for row in rows}:
        rivals = [row for row in rows if row.nfe == nfe and row.psnr_db is not None]
        if len(rivals) > 1:
            best.add(max(rivals, key=lambda row: row.psnr_db or 0.0).name)
    return best
