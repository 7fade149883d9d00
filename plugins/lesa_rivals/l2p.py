"""L2P (arXiv 2604.26365): for each step one weight for every earlier feature, fitted by its authors' script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from lesa_framework import (
    AffinePredictor,
    ArtifactError,
    ConfigError,
    ConfigPath,
    EntryInfo,
    Filter,
    Imported,
    PredictorConfig,
    Published,
    RunInfo,
    StepContext,
    Tap,
)
from lesa_framework.artifacts import Artifact, ArtifactMetadata, check_run, load_artifact, shifted_grid
from lesa_rivals.numbers import read_table

_LONGEST = 1000
#: What the authors' release computes of 50 steps by default. It has five more schedules of 50 steps, by `--interval`.
_STEPS, _INTERVAL, _COMPUTED = 50, 7, (0, 1, 2, 4, 9, 17, 26, 35, 43)
_SHIFT = 3.158  # of FLUX's grid at 1024x1024, for which the authors' weights were made


class _Settings(BaseModel):
    num_steps: Annotated[int, Field(ge=2, le=_LONGEST)]


class L2P(AffinePredictor):
    """`h_hat_i = sum_{j < i} W[i-1, j] h_j` over the features of all earlier steps, predicted ones included.

    If a run begins later than at step 0, the weights of the steps that are missing go to the oldest feature.

    Args:
        weights: `W`, shape (T, T); row i - 1 is for step i, and what is right of its diagonal is not read.
    """

    records: Literal["all", "computed"] = "all"

    def __init__(self, weights: Tensor) -> None:
        self.depth = len(weights)
        self._rows = weights.double().tolist()

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The step's row, newest feature first."""
        row = self._rows[ctx.index - 1][: ctx.index]
        weights = [row[entry.step] for entry in entries]
        weights[-1] += sum(row[: entries[-1].step])
        return Filter(tuple(weights))


class ImportedL2P(L2P):
    """L2P from an artifact; refuses runs of another number of steps, model or tap. Other noise levels are accepted.

    Args:
        artifact: What `lesa import` wrote.
        strict: Refuse another backbone.

    Raises:
        ArtifactError: It does not hold what L2P needs.
    """

    def __init__(self, artifact: Artifact, *, strict: bool = True) -> None:
        count = artifact.settings(_Settings).num_steps
        if count != len(artifact.metadata.sigmas) - 1:
            raise ArtifactError(f"predictor.weights: for {count} steps, but its grid has others. Import it again.")
        super().__init__(artifact.tensor("weights", (count, count)))
        self._metadata, self._strict = artifact.metadata, strict
        self.trained_for = artifact.metadata.run

    def check(self, run: RunInfo) -> None:
        """Compare the run with what the weights were made for."""
        check_run(self._metadata, run, strict=self._strict, any_grid=True, can_train=False)


class L2PConfig(PredictorConfig):
    """For each step one weight for every earlier feature, as imported from L2P's authors."""

    kind: Literal["l2p"] = "l2p"
    weights: ConfigPath | None = None
    """The safetensors file that `lesa import l2p` wrote; relative to this file."""
    strict: bool = True
    """Refuse a model of another class than that of the fit. When false, it is warned of."""

    def build(self) -> ImportedL2P:
        """Read the weights.

        Raises:
            ConfigError: None are named.
            ArtifactError: They cannot be used.
        """
        if self.weights is None:
            raise ConfigError(
                "predictor.weights: missing. `lesa import l2p weight.txt --out l2p.yaml` makes them of what L2P's "
                "authors publish."
            )
        return self.build_from(load_artifact(Path(self.weights), "l2p"))

    def build_from(self, artifact: Artifact) -> ImportedL2P:
        """Take weights that are read already.

        Raises:
            ArtifactError: They cannot be used.
        """
        return ImportedL2P(artifact, strict=self.strict)

    @classmethod
    def read_published(cls, published: Published) -> Imported:
        """Read the text of L2P's `predictor/weight.txt`: a list of T rows of T numbers, lower triangular."""
        rows = read_table(published)
        count = len(rows)
        if any(len(row) != count for row in rows) or not 2 <= count <= _LONGEST:
            raise ConfigError(
                f"{published.name}: expected as many rows as columns, 2 to {_LONGEST}, one for each step; found "
                f"{count} rows of {len(rows[0])} numbers."
            )
        table = torch.tensor(rows, dtype=torch.float64)
        if bool(table.triu(1).any()):
            raise ConfigError(f"{published.name}: a row has weights for later steps; expected a lower triangle.")
        weights = table.float()
        if not bool(weights.isfinite().all()):
            raise ConfigError(f"{published.name}: a weight is beyond the largest that float32 holds, 3.4e38.")
        tap, shift = published.tap or Tap.OUTPUT, published.shift or _SHIFT
        schedule, note = _schedule(count)
        config: dict[str, dict[str, Any]] = {
            "schedule": schedule,
            "predictor": {"kind": "l2p"},
            "backbone": {"kind": "auto", "tap": tap.value},
        }
        if published.model:
            config["training"] = {"model": published.model}
        metadata = ArtifactMetadata(
            kind="l2p",
            settings={"num_steps": count},
            sigmas=shifted_grid(count, shift),
            backbone=published.backbone or "flux",
            tap=tap,
            config=config,
            training=published.record,
        )
        return Imported(config, Artifact(metadata, {"weights": weights}), note)


def _schedule(count: int) -> tuple[dict[str, Any], str]:
    """The steps to compute with a table for so many, and a note of whose they are.

    The weights are fitted on whole recorded trajectories, so that a table is for no schedule of its own.
    """
    if count == _STEPS:
        return {"kind": "steps", "compute": list(_COMPUTED)}, (
            f"the schedule has the {len(_COMPUTED)} steps of the release's default, interval {_INTERVAL}; the weights "
            "are not tied to it, and the release has others."
        )
    even = max(2, count // 5)
    return {"kind": "even", "compute": even}, (
        f"the schedule is {even} even steps, because the release's schedules are for {_STEPS} steps and the table is "
        f"for {count}; the weights are not tied to it."
    )
