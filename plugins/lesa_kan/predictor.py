"""LESA for sampling: a table of gains and a few weights, without a KAN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from lesa_framework import (
    AffinePredictor,
    ArtifactError,
    ConfigError,
    ConfigPath,
    EntryInfo,
    Filter,
    Fit,
    FitTask,
    PredictorConfig,
    RunInfo,
    StepContext,
    TrainingConfig,
)
from lesa_framework.artifacts import Artifact, check_run, load_artifact, same_grid
from lesa_kan.experts import Experts, ExpertShape
from lesa_kan.settings import LesaTrainingConfig
from lesa_kan.trainable_lesa import TrainableLesa
from lesa_kan.two_stage import TwoStageFit

#: What LESA alone can do about another grid.
_RETABULATE = (
    "set predictor.retabulate=true to evaluate the KANs on this grid "
    "(needs the 'kan' extra; the quality is not guaranteed)"
)


class Lesa(AffinePredictor):
    """`h_hat_i = h_{i-1} + a_s(d_i) (sum_k w_{s,k} h_{i-k} + b_s)` (arXiv 2602.20497, eq. 6-8).

    `d_i` depends on the grid alone, so each `a_s(d_i)` is a number from a table, and the whole predictor
    an affine filter. Features enter the history as used, predictions included. Taps beyond the history's
    length are left out.

    Args:
        shape: Sizes of the experts.
        gains: `a_s(d_i)`, shape (branches, stages, T).
        taps: `w_s`, shape (branches, stages, K).
        bias: `b_s`, shape (branches, stages).
    """

    records: Literal["all", "computed"] = "all"

    def __init__(self, shape: ExpertShape, gains: Tensor, taps: Tensor, bias: Tensor) -> None:
        self.shape = shape
        self.depth, self.num_stages = shape.depth, shape.num_stages
        self._gains, self._taps, self._bias = gains.tolist(), taps.tolist(), bias.tolist()

    def min_history(self, stage: int) -> int:  # noqa: ARG002 - the paper asks for the first stage's everywhere
        """K_0 features, in every stage: this is what computes step 3 of the paper's schedules."""
        return self.shape.stage_history[0]

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The formula as weights."""
        branch = min(ctx.branch_index, self.shape.branches - 1)
        gain = self._gains[branch][ctx.stage][ctx.index]
        count = min(self.shape.stage_history[ctx.stage], len(entries))
        weights = [gain * tap for tap in self._taps[branch][ctx.stage][:count]]
        weights[0] += 1.0
        return Filter(tuple(weights), gain * self._bias[branch][ctx.stage])


class TrainedLesa(Lesa):
    """LESA from an artifact; refuses runs that the weights were not trained for.

    Args:
        artifact: What `lesa train` wrote.
        retabulate: Evaluate the KANs again when the grid has other noise levels (needs pykan).
    """

    def __init__(self, artifact: Artifact, *, retabulate: bool = False) -> None:
        settings, tensors = artifact.metadata.settings, artifact.tensors
        try:
            shape = ExpertShape.from_json(settings)
            _check_table(shape, tensors, len(artifact.metadata.sigmas) - 1)
            super().__init__(shape, tensors["gains"], tensors["taps"], tensors["bias"])
        except (TypeError, ValueError, KeyError) as error:
            raise ArtifactError(
                f"predictor.weights: not LESA weights of this version ({error}). Train again."
            ) from error
        self._artifact, self._retabulate, self._grid = artifact, retabulate, artifact.metadata.sigmas
        self.trained_for = RunInfo(artifact.metadata.sigmas, artifact.metadata.backbone, artifact.metadata.tap)

    def check(self, run: RunInfo) -> None:
        """Compare backbone, tap and grid with those of the training; evaluate the KANs again if configured."""
        check_run(self._artifact.metadata, run, any_grid=self._retabulate, remedy=_RETABULATE)
        if not same_grid(run.sigmas, self._grid):
            self._gains = tabulate(self._artifact, run.sigmas).tolist()
            self._grid = run.sigmas


def _check_table(shape: ExpertShape, tensors: Mapping[str, Tensor], num_steps: int) -> None:
    """Refuse an artifact that would only fail in the middle of a run.

    Raises:
        KeyError: A tensor is missing.
        ValueError: A tensor has another shape, or numbers in it are not finite.
    """
    if shape.num_steps != num_steps:
        raise ValueError(f"made for {shape.num_steps} steps, but its grid has {num_steps}")
    experts = (shape.branches, shape.num_stages)
    for name, wanted in (("gains", (*experts, num_steps)), ("taps", (*experts, shape.depth)), ("bias", experts)):
        if tensors[name].shape != wanted:
            raise ValueError(f"'{name}' is {tuple(tensors[name].shape)} and not {wanted}")
        if not bool(tensors[name].isfinite().all()):
            raise ValueError(f"'{name}' has numbers that are not finite")


@torch.no_grad()
def tabulate(artifact: Artifact, sigmas: Sequence[float]) -> Tensor:
    """Evaluate an artifact's KANs on a grid of the same length.

    Returns:
        Gains, float64, shape (branches, stages, T).

    Raises:
        ConfigError: pykan is not installed.
        ArtifactError: The KANs' weights are missing or damaged.
    """
    experts = Experts(ExpertShape.from_json(artifact.metadata.settings), seed=0)
    try:
        experts.load_compact(artifact.tensors)
    except (KeyError, RuntimeError) as error:
        raise ArtifactError(
            f"predictor.weights: the KANs' weights are missing or damaged ({error}), "
            "so they cannot be evaluated on another grid. Train again."
        ) from error
    return experts.gains(sigmas).double()


#: Settings that the weights fix.
_SHAPED = ("stage_history", "hidden", "grid", "order", "grid_range", "branches")


class LesaPredictorConfig(PredictorConfig):
    """Learned stage-aware prediction: a KAN-gated filter over the newest features."""

    training_config: ClassVar[type[TrainingConfig]] = LesaTrainingConfig

    kind: Literal["lesa"] = "lesa"
    weights: ConfigPath | None = None
    """The safetensors file that `lesa train` wrote; relative to this file."""
    history: int = Field(8, ge=1, le=64)
    """K: how many of the newest features the filter weighs, in every stage except the first."""
    stage_history: tuple[Annotated[int, Field(ge=1, le=64)], ...] | None = None
    """K_s of each stage; by default three stages, the first with 4 at most: [4, 8, 8]."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (256, 256)
    """Widths of the KANs' hidden layers."""
    grid: int = Field(5, ge=1)
    """Spline intervals."""
    order: int = Field(3, ge=1)
    """Spline order."""
    grid_range: tuple[float, float] = (-3.0, 3.0)
    """The interval on which the splines are defined."""
    branches: int = Field(1, ge=1)
    """Sets of experts: with 1 all branches share them, with 2 `cond` and `uncond` have their own."""
    retabulate: bool = False
    """Evaluate the KANs again when the scheduler's grid differs from the training's (needs pykan)."""

    @field_validator("grid_range")
    @classmethod
    def _rising(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not ends[0] < ends[1]:
            raise ValueError("the range must rise, for example [-3, 3]")
        return ends

    def build(self) -> TrainedLesa:
        """Read the weights.

        Raises:
            ConfigError: None are named, or a setting that was given is not what they were trained with.
            ArtifactError: They cannot be used.
        """
        if self.weights is None:
            raise ConfigError(
                "predictor.weights: 'lesa' needs trained weights. Train them with `lesa train --config ... --out DIR`, "
                "or start from a preset that has them (`lesa plugins` lists presets)."
            )
        trained = TrainedLesa(load_artifact(Path(self.weights), self.kind), retabulate=self.retabulate)
        asked = self._shape(trained.shape.num_steps)
        for key, name in {"history": "stage_history", **{name: name for name in _SHAPED}}.items():
            wanted, found = getattr(asked, name), getattr(trained.shape, name)
            if key in self.model_fields_set and wanted != found:
                raise ConfigError(
                    f"predictor.{key}: asks for {name} {wanted}, but {self.weights} was trained with {found}. "
                    "Leave the setting out, or train again."
                )
        return trained

    def fit(self, task: FitTask) -> Fit:
        """The paper's two-stage training of untrained experts."""
        settings = LesaTrainingConfig.model_validate(task.settings.model_dump())
        return TwoStageFit(self.untrained(len(task.sigmas) - 1, settings.seed), settings, task)

    def untrained(self, num_steps: int, seed: int) -> TrainableLesa:
        """Untrained experts for runs of `num_steps` steps."""
        return TrainableLesa(self._shape(num_steps), seed)

    def _shape(self, num_steps: int) -> ExpertShape:
        lengths = self.stage_history or (min(4, self.history), self.history, self.history)
        return ExpertShape(num_steps, lengths, self.hidden, self.grid, self.order, self.grid_range, self.branches)
