"""The files of a fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FitFiles:
    """Where a fit writes.

    Attributes:
        out: The folder.
        name: That of the configuration.
    """

    out: Path
    name: str

    @property
    def weights(self) -> Path:
        """The artifact."""
        return self.out / f"{self.name}.safetensors"

    @property
    def config(self) -> Path:
        """A configuration that uses it."""
        return self.out / f"{self.name}.yaml"

    @property
    def log(self) -> Path:
        """JSON, the fit's own entries; it is written last, and says that the fit is finished."""
        return self.out / f"{self.name}.json"

    @property
    def checkpoint(self) -> Path:
        """The state of a fit that is not finished."""
        return self.out / f"{self.name}.checkpoint.safetensors"

    @property
    def all(self) -> tuple[Path, ...]:
        """Every one of them."""
        return self.weights, self.config, self.log, self.checkpoint
