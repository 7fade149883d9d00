"""LESA for sampling: a table of gains and a few weights, without a KAN."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, FieldSerializationInfo, field_serializer, field_validator
from torch import Tensor

from lesa_framework import (
    AffinePredictor,
    AnyPredictor,
    ArtifactError,
    ConfigError,
    ConfigPath,
    EntryInfo,
    Filter,
    Fit,
    FitTask,
    Imported,
    PredictorConfig,
    Published,
    RunInfo,
    StepContext,
    TrainingConfig,
)
from lesa_framework.artifacts import Artifact, check_run, load_artifact, same_grid
from lesa_kan.authors import import_published
from lesa_kan.base import Base, LesaRecord, added, asked_and_found, check_sizes, depth_of, least_history
from lesa_kan.experts import Experts, ExpertShape
from lesa_kan.settings import LesaTrainingConfig
from lesa_kan.trainable_lesa import TrainableLesa
from lesa_kan.two_stage import TwoStageFit

#: What LESA alone can do about another grid.
_RETABULATE = (
    "set predictor.retabulate=true to evaluate the KANs on this grid "
    "(needs the 'kan' extra; the quality is not guaranteed)"
)

#: Grids whose tables are kept: a server may take turns between as many resolutions.
_GRIDS = 32
#: Steps whose weights are kept: of all branches, on as many grids.
_STEPS = 100 * _GRIDS


class Lesa(AffinePredictor):
    """`h_hat_i = h_{i-1} + a_s(d_i) (sum_k w_{s,k} h_{i-k} + b_s)` (arXiv 2602.20497, eq. 6-8).

    `d_i` depends on the grid alone, so each `a_s(d_i)` is a number from a table, and the whole predictor
    an affine filter. Features enter the history as used, predictions included. Taps beyond the history's
    length are left out. On a base, what that predicts stands in place of `h_{i-1}`.

    Args:
        shape: Sizes of the experts.
        gains: `a_s(d_i)`, shape (branches, stages, T).
        taps: `w_s`, shape (branches, stages, K).
        bias: `b_s`, shape (branches, stages).
        records: What histories hold.
        base: What the experts correct; None for reuse of the newest feature.
    """

    records: Literal["all", "computed"] = "all"

    def __init__(
        self,
        shape: ExpertShape,
        gains: Tensor,
        taps: Tensor,
        bias: Tensor,
        *,
        records: Literal["all", "computed"] = "all",
        base: Base | None = None,
    ) -> None:
        self.shape, self.base, self.records = shape, base, records
        self.depth, self.num_stages = depth_of(shape, base), shape.num_stages
        self._gains, self._taps, self._bias = gains.tolist(), taps.tolist(), bias.tolist()
        self._numbers = lru_cache(_STEPS)(self._multiplied)

    def min_history(self, stage: int) -> int:
        """K_0 features, in every stage: this is what computes step 3 of the paper's schedules. On a base, its own."""
        return least_history(self.shape, self.base, stage)

    def gains(self, sigmas: tuple[float, ...]) -> list[list[list[float]]]:  # noqa: ARG002 - for those with KANs
        """`a_s(d_i)` on a grid, by branch, stage and step."""
        return self._gains

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The formula as weights."""
        branch = min(ctx.branch_index, self.shape.branches - 1)
        gain = self.gains(ctx.sigmas)[branch][ctx.stage][ctx.index]
        count = min(self.shape.stage_history[ctx.stage], len(entries))
        weights, bias = self._numbers(branch, ctx.stage, gain, count)
        return Filter(weights, bias) if self.base is None else added(self.base.filter(entries, ctx), weights, bias)

    def _multiplied(self, branch: int, stage: int, gain: float, count: int) -> tuple[tuple[float, ...], float]:
        """A step's gain times taps and bias; without a base, the newest feature too."""
        weights = [gain * tap for tap in self._taps[branch][stage][:count]]
        if self.base is None:
            weights[0] += 1.0
        return tuple(weights), gain * self._bias[branch][stage]

    def correction(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter | None:
        """That of the base."""
        return None if self.base is None else self.base.correction(entries, ctx)


class TrainedLesa(Lesa):
    """LESA from an artifact; refuses runs that the weights were not trained for.

    Args:
        artifact: What `lesa train` wrote.
        retabulate: Evaluate the KANs again when the grid has other noise levels (needs pykan).
        strict: Refuse other models, and warn of other weights, sizes and guidance.

    Raises:
        ArtifactError: The artifact does not hold what LESA needs.
    """

    def __init__(self, artifact: Artifact, *, retabulate: bool = False, strict: bool = True) -> None:
        record, metadata = artifact.settings(LesaRecord), artifact.metadata
        shape = record.shape
        if shape.num_steps != len(metadata.sigmas) - 1:
            raise ArtifactError(
                f"predictor.weights: made for {shape.num_steps} steps, but its grid has {len(metadata.sigmas) - 1}. "
                "Train again."
            )
        tables = {name: artifact.tensor(name, wanted) for name, wanted in shape.tables().items()}
        for name, wanted in shape.kans().items():
            if name in artifact.tensors:
                artifact.tensor(name, wanted)
        check_sizes(tables["gains"], tables["taps"], tables["bias"])
        base = None if record.base is None else Base.restore(record.base, artifact.tensors)
        super().__init__(shape, **tables, records=record.records, base=base)
        self._artifact, self._retabulate, self._strict = artifact, retabulate, strict
        self._table = lru_cache(_GRIDS)(self._look_up)
        self.trained_for = metadata.run

    def check(self, run: RunInfo) -> None:
        """Compare the run with that of the training, and evaluate the KANs on its grid if configured."""
        metadata = self._artifact.metadata
        check_run(metadata, run, strict=self._strict, any_grid=self._retabulate, remedy=_RETABULATE)
        self.gains(run.sigmas)

    def gains(self, sigmas: tuple[float, ...]) -> list[list[list[float]]]:
        """The table for the training's grid; for another one, the KANs are evaluated once."""
        return self._table(sigmas) if self._retabulate else self._gains

    def _look_up(self, sigmas: tuple[float, ...]) -> list[list[list[float]]]:
        if same_grid(sigmas, self._artifact.metadata.sigmas):
            return self._gains
        return tabulate(self._artifact, sigmas)


@torch.no_grad()
def tabulate(artifact: Artifact, sigmas: tuple[float, ...]) -> list[list[list[float]]]:
    """Evaluate an artifact's KANs on a grid of the same length.

    Returns:
        Gains by branch, stage and step.

    Raises:
        ConfigError: pykan is not installed.
        ArtifactError: The KANs' weights are missing or damaged.
    """
    shape = artifact.settings(LesaRecord).shape
    wanted = {**shape.tables(), **shape.kans()}
    try:
        weights = {name: artifact.tensor(name, size) for name, size in wanted.items()}
    except ArtifactError as error:
        raise ArtifactError(f"predictor.retabulate: another grid needs the weights of the KANs. {error}") from error
    experts = Experts(shape, seed=0)
    experts.load_compact(weights)
    gains = experts.gains(sigmas)
    check_sizes(gains, weights["taps"], weights["bias"])
    table: list[list[list[float]]] = gains.tolist()
    return table


#: Settings that the weights fix.
_SHAPED = ("stage_history", "hidden", "grid", "order", "grid_range", "branches")


class LesaPredictorConfig(PredictorConfig):
    """Learned stage-aware prediction: a KAN-gated filter over the newest features."""

    imports_bytes: ClassVar[bool] = True
    training_config: ClassVar[type[TrainingConfig]] = LesaTrainingConfig

    kind: Literal["lesa"] = "lesa"
    weights: ConfigPath | None = None
    """The safetensors file that `lesa train` wrote; relative to this file."""
    history: int = Field(8, ge=1, le=64)
    """K: how many of the newest features the filter weighs, in every stage except the first."""
    stage_history: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(max_length=64)] | None = None
    """K_s of each stage; by default three stages, the first with 4 at most: [4, 8, 8]."""
    hidden: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field((256, 256), max_length=16)
    """Widths of the KANs' hidden layers."""
    grid: int = Field(5, ge=1, le=1000)
    """Spline intervals."""
    order: int = Field(3, ge=1, le=10)
    """Spline order."""
    grid_range: tuple[float, float] = (-3.0, 3.0)
    """The interval on which the splines are defined."""
    branches: int = Field(1, ge=1, le=64)
    """Sets of experts: with 1 all branches share them, with 2 `cond` and `uncond` have their own."""
    records: Literal["all", "computed"] = "all"
    """Whether histories hold predictions too, as in the paper, or computed features alone."""
    base: AnyPredictor | None = None
    """What training starts from: a predictor that is affine in the history, with its weights if it has any, such as
    `{kind: fitted, weights: FILE}`. What it predicts stands in place of the newest feature. Its weights are stored in
    those of `lesa`; beside these, it needs no file."""
    retabulate: bool = False
    """Evaluate the KANs again when the scheduler's grid differs from the training's (needs pykan)."""
    strict: bool = True
    """Refuse a model of another class, width or depth than that of the training, and warn of other weights, another
    size of the input and another guidance. When false, another model is warned of, and nothing else."""

    @field_validator("grid_range")
    @classmethod
    def _rising(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not ends[0] < ends[1]:
            raise ValueError("the range must rise, for example [-3, 3]")
        return ends

    @field_serializer("base")
    def _base_without_its_file(self, base: PredictorConfig | None, info: FieldSerializationInfo) -> Any:
        """Where there are weights, those of the base are in their file."""
        inside = None if self.weights is None else {"weights"}
        return None if base is None else base.model_dump(mode=info.mode, exclude=inside)

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
        return self.build_from(load_artifact(Path(self.weights), self.kind))

    def build_from(self, artifact: Artifact) -> TrainedLesa:
        """Take weights that are read already.

        Raises:
            ConfigError: A setting that was given is not what they were trained with.
            ArtifactError: They cannot be used.
        """
        trained = TrainedLesa(artifact, retabulate=self.retabulate, strict=self.strict)
        asked, shape = self._shape(trained.shape.num_steps), trained.shape
        pairs = {name: (name, getattr(asked, name), getattr(shape, name)) for name in _SHAPED}
        pairs |= {
            "history": ("stage_history", asked.stage_history, shape.stage_history),
            "records": ("records", self.records, trained.records),
            "base": ("a base", *asked_and_found(self.base, None if trained.base is None else trained.base.section)),
        }
        for key, (name, wanted, found) in pairs.items():
            if key in self.model_fields_set and wanted != found:
                raise ConfigError(
                    f"predictor.{key}: asks for {name} {wanted}, but {self.weights or 'the experts'} was trained with "
                    f"{found}. Leave the setting out, or train again."
                )
        return trained

    def fit(self, task: FitTask) -> Fit:
        """The paper's two-stage training of untrained experts."""
        settings = LesaTrainingConfig.model_validate(task.settings.model_dump())
        shape = self._shape(len(task.sigmas) - 1)
        base = None if self.base is None else Base.start(self.base, task, self.records)
        experts = TrainableLesa(shape, settings.seed, keep_kans=settings.keep_kans, records=self.records, base=base)
        return TwoStageFit(experts, settings, task)

    @classmethod
    def read_published(cls, published: Published) -> Imported:
        """Read a checkpoint of the authors' training: see [`import_published`][lesa_kan.authors.import_published]."""
        artifact, note = import_published(published)
        TrainedLesa(artifact)  # refuses filters that are not finite
        return Imported(artifact.metadata.config, artifact, note)

    def untrained(self, num_steps: int, seed: int, *, keep_kans: bool = True) -> TrainableLesa:
        """Untrained experts for runs of `num_steps` steps."""
        return TrainableLesa(self._shape(num_steps), seed, keep_kans=keep_kans)

    def _shape(self, num_steps: int) -> ExpertShape:
        lengths = self.stage_history or (min(4, self.history), self.history, self.history)
        return ExpertShape(num_steps, lengths, self.hidden, self.grid, self.order, self.grid_range, self.branches)
