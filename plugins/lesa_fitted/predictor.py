"""`fitted` in a configuration: where its weights are, and how they are fitted."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from lesa_fitted.fit import FittedFit
from lesa_fitted.fitted import Fitted
from lesa_fitted.settings import FittedTrainingConfig
from lesa_fitted.table import TUNING, TableShape
from lesa_framework import (
    ArtifactError,
    ConfigError,
    ConfigPath,
    Fit,
    FitTask,
    PredictorConfig,
    RunInfo,
    Tap,
    TrainingConfig,
)
from lesa_framework.artifacts import Artifact, check_run, load_artifact


class FittedWeights(Fitted):
    """Filters from an artifact.

    Args:
        artifact: What `lesa train` or `lesa search` wrote.
        strict: Refuse other models, and warn of other weights, sizes and guidance.

    Raises:
        ArtifactError: The artifact does not hold what the predictor needs.
    """

    def __init__(self, artifact: Artifact, *, strict: bool = True) -> None:
        shape, metadata = artifact.settings(TableShape), artifact.metadata
        if shape.num_steps != len(metadata.sigmas) - 1 or shape.computed[-1] >= shape.num_steps:
            raise ArtifactError(
                f"predictor.weights: made for {shape.num_steps} steps, but its grid has {len(metadata.sigmas) - 1}. "
                "Train again."
            )
        super().__init__(shape, artifact.tensor("weights", shape.size), metadata.sigmas, _tuning(artifact, shape))
        self._metadata, self._strict = metadata, strict
        self.trained_for = metadata.run

    def check(self, run: RunInfo) -> None:
        """Compare the run with that of the fit. Another grid is warned of, once: filters carry over by noise level."""
        check_run(self._metadata, run, strict=self._strict, carried_over=self.shape.records == "computed")


def _tuning(artifact: Artifact, shape: TableShape) -> Tensor | None:
    if TUNING not in artifact.tensors:
        return None
    *size, numbers = shape.tuning_size
    if artifact.tensors[TUNING].shape[-1:] == (numbers - 1,):  # of an earlier fit, which asked nothing ahead
        return functional.pad(artifact.tensor(TUNING, (*size, numbers - 1)), (0, 1))
    return artifact.tensor(TUNING, shape.tuning_size)


class FittedPredictorConfig(PredictorConfig):
    """One filter for each step over computed features, fitted to the uncached trajectory."""

    training_config: ClassVar[type[TrainingConfig]] = FittedTrainingConfig
    # What is predicted there is the velocity, and a fit can aim it at the uncached trajectory whatever a filter reads.
    preferred_tap: ClassVar[Tap | None] = Tap.OUTPUT

    kind: Literal["fitted"] = "fitted"
    weights: ConfigPath | None = None
    """The safetensors file that `lesa train` or `lesa search` wrote; relative to this file."""
    history: int = Field(8, ge=1, le=1000)
    """K: how many features of each branch a filter reads."""
    reads: Literal["own", "all"] = "own"
    """Features of a filter's own branch, or of all branches (`cond` and `uncond`) where these have one shape."""
    records: Literal["computed", "all"] = "computed"
    """Whether histories hold computed features alone, or predictions too (for the fit `true_history`)."""
    strict: bool = True
    """Refuse a model of another class, width or depth than that of the fit, and warn of other weights, another size of
    the input and another guidance. When false, another model is warned of, and nothing else."""

    def build(self) -> FittedWeights:
        """Read the weights.

        Raises:
            ConfigError: None are named, or a setting that was given is not what they were fitted with.
            ArtifactError: They cannot be used.
        """
        if self.weights is None:
            raise ConfigError(
                "predictor.weights: 'fitted' needs weights. Fit them with `lesa search` or with "
                "`lesa train --config ... --out DIR`, or start from a preset that has them "
                "(`lesa plugins --section preset`)."
            )
        return self.build_from(load_artifact(Path(self.weights), self.kind))

    def build_from(self, artifact: Artifact) -> FittedWeights:
        """Take weights that are read already.

        Raises:
            ConfigError: A setting that was given is not what they were fitted with.
            ArtifactError: They cannot be used.
        """
        fitted = FittedWeights(artifact, strict=self.strict)
        shape = fitted.shape
        # A run of few computed steps has no longer history, and a written configuration names every setting.
        depth = min(self.history, shape.longest)
        for key, wanted, found in (
            ("history", depth, shape.depth),
            ("reads", self.reads, shape.reads),
            ("records", self.records, shape.records),
        ):
            if key in self.model_fields_set and wanted != found:
                raise ConfigError(
                    f"predictor.{key}: asks for {wanted}, but {self.weights or 'the table'} was fitted with {found}. "
                    "Leave the setting out, or fit again."
                )
        return fitted

    def quick(self, settings: TrainingConfig) -> TrainingConfig | None:
        """The greedy fit, in one pass; that on true history where histories hold predictions too."""
        shared = FittedTrainingConfig.model_validate(settings.model_dump())
        return shared.model_copy(update={"fit": "true_history" if self.records == "all" else "greedy", "passes": 1})

    def fit(self, task: FitTask) -> Fit:
        """Fit the filters to the task's model.

        Raises:
            ConfigError: The settings contradict each other.
        """
        settings = FittedTrainingConfig.model_validate(task.settings.model_dump())
        return FittedFit(task, settings, depth=self.history, reads=self.reads, records=self.records)
