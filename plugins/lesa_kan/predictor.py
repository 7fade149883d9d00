"""`lesa` in a configuration: its sizes, where its weights are, and how they are trained or imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, FieldSerializationInfo, FiniteFloat, field_serializer, field_validator

from lesa_framework import (
    AnyPredictor,
    ConfigError,
    ConfigPath,
    Fit,
    FitTask,
    Imported,
    PredictorConfig,
    Published,
    TrainingConfig,
)
from lesa_framework.artifacts import Artifact, load_artifact
from lesa_kan.authors import import_published
from lesa_kan.base import Base, asked_and_found
from lesa_kan.experts import PYKAN, ExpertShape, warn_without_pykan
from lesa_kan.lesa import TrainedLesa
from lesa_kan.settings import LesaTrainingConfig
from lesa_kan.trainable_lesa import TrainableLesa
from lesa_kan.two_stage import TwoStageFit

#: Settings that the weights fix.
_SHAPED = ("stage_history", "hidden", "grid", "order", "grid_range", "branches")


class LesaPredictorConfig(PredictorConfig):
    """Learned stage-aware prediction: a KAN-gated filter over the newest features."""

    imports_bytes: ClassVar[bool] = True
    training_config: ClassVar[type[TrainingConfig]] = LesaTrainingConfig
    fit_needs: ClassVar[tuple[str, ...]] = PYKAN

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
    grid_range: tuple[FiniteFloat, FiniteFloat] = (-3.0, 3.0)
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
                "or start from a preset that has them (`lesa plugins --section preset`)."
            )
        return self.build_from(load_artifact(Path(self.weights), self.kind))

    def build_from(self, artifact: Artifact) -> TrainedLesa:
        """Take weights that are read already.

        Raises:
            ConfigError: A setting that was given is not what they were trained with.
            ArtifactError: They cannot be used.
        """
        if self.retabulate:
            warn_without_pykan()
        trained = TrainedLesa(artifact, retabulate=self.retabulate, strict=self.strict)
        asked, shape = self.shape_for(trained.shape.num_steps), trained.shape
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
        shape = self.shape_for(len(task.sigmas) - 1)
        base = None if self.base is None else Base.start(self.base, task, self.records)
        experts = TrainableLesa(shape, settings.seed, keep_kans=settings.keep_kans, records=self.records, base=base)
        return TwoStageFit(experts, settings, task)

    @classmethod
    def read_published(cls, published: Published) -> Imported:
        """Read a checkpoint of the authors' training: see [`import_published`][lesa_kan.authors.import_published]."""
        artifact, note = import_published(published)
        TrainedLesa(artifact)  # refuses filters that are not finite
        return Imported(artifact.metadata.config, artifact, note)

    def shape_for(self, num_steps: int) -> ExpertShape:
        """The experts' sizes for runs of `num_steps` steps."""
        lengths = self.stage_history or (min(4, self.history), self.history, self.history)
        return ExpertShape(num_steps, lengths, self.hidden, self.grid, self.order, self.grid_range, self.branches)
