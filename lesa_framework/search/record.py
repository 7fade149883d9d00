"""What a search has tried: one JSON file, from which it resumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lesa_framework.artifacts.artifact import first_problem
from lesa_framework.errors import ConfigError
from lesa_framework.files import is_file, read_text, write_text

#: Fewer candidates than this are hardly a search.
FEW = 20


class Tried(BaseModel):
    """A candidate and how close it came.

    Attributes:
        steps: The computed steps.
        db: For each prompt, the PSNR of the final latents against the uncached run; only the first ones of a candidate
            that was dropped early.
        at: Seconds of searching after which it was judged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: tuple[int, ...]
    db: Annotated[tuple[float, ...], Field(min_length=1)]
    at: float = 0.0

    @property
    def mean(self) -> float:
        """Mean over the prompts it was judged on, in dB."""
        return sum(self.db) / len(self.db)


class Finished(BaseModel):
    """How a search ended.

    Attributes:
        asked: A fingerprint of what it was asked for.
        grown: Candidates that were tried and compared by then.
        exhausted: Whether every candidate was tried.
        files: Name -> SHA-256 of what it wrote.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked: str
    grown: tuple[int, int]
    exhausted: bool
    files: dict[str, str]


class Record(BaseModel):
    """A search: what it is for, and what was tried.

    Attributes:
        schema_version: Of this file.
        fingerprint: Tells searches apart.
        about: What it is for, for people and the page.
        whole: How many scores a candidate has that was not dropped.
        tried: Every candidate in order.
        compared: Even steps and the best candidates, fitted and judged on prompts that the search did not use.
        fitting: The steps that the predictor is or was fitted to at the end.
        final: The closest of them after its predictor was fitted with the real settings; None before that.
        seconds: How long it has searched.
        comparison_seconds: What one comparison takes.
        finished: How it ended; None before that, or where that cannot be told without the model.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    schema_version: Literal[1] = 1
    fingerprint: str
    about: dict[str, Any]
    whole: int
    tried: list[Tried] = []
    compared: list[Tried] = []
    fitting: tuple[int, ...] | None = None
    final: Tried | None = None
    seconds: float = 0.0
    comparison_seconds: float = 0.0
    finished: Finished | None = None

    @property
    def full(self) -> list[Tried]:
        """Candidates that were tried on all prompts."""
        return [each for each in self.tried if len(each.db) == self.whole]

    @property
    def best(self) -> Tried | None:
        """The closest so far; the earlier one of equals."""
        return max(self.full, key=lambda each: each.mean, default=None)

    @property
    def outcome(self) -> Tried | None:
        """The closest of those compared at the end, by all that is known of each."""
        return max(self.compared, key=self.pooled, default=None)

    def pooled(self, compared: Tried) -> float:
        """Mean over the prompts of the search and of the comparison, in dB."""
        tried = next((each.db for each in self.full if each.steps == compared.steps), ())
        return sum((*tried, *compared.db)) / len((*tried, *compared.db))

    def comparison(self, steps: tuple[int, ...]) -> Tried | None:
        """How a candidate did at the end; None when it was not compared."""
        return next((each for each in self.compared if each.steps == steps), None)

    def save(self, path: Path) -> None:
        """Write the file, all or nothing."""
        write_text(path, self.model_dump_json(indent=1) + "\n")


def load_record(path: Path, beside: Sequence[Path] = ()) -> Record | None:
    """What a search has written; None when there is no file yet.

    Args:
        path: The file.
        beside: Files in the folder that the search would write over.

    Raises:
        ConfigError: The file is not the record of a search.
    """
    if not is_file(path):
        return None
    text = read_text(path, "--out")
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(
            f"--out {path}: is not the record of a search ({first_problem(error)}). {afresh(path, beside)}"
        ) from error


def afresh(path: Path, beside: Sequence[Path]) -> str:
    """How to start where a folder holds something else: in another one, or without the files that are in the way.

    Args:
        path: Where the record of the search belongs.
        beside: Files in the folder that the search would write over.
    """
    there = [each.name for each in (path, *beside) if is_file(each)]
    return f"Name another folder, or delete {' and '.join(there)} to start afresh."
