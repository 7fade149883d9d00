"""What `lesa plugins` says of models and presets, read from their own files: never where these are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lesa_framework.artifacts import load_metadata
from lesa_framework.building import build_strategy
from lesa_framework.config.loading import load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import LesaError
from lesa_framework.grids import even_grid
from lesa_framework.plugin.registry import AUTO, NamedModel


@dataclass(frozen=True)
class Preset:
    """What a preset is for; what is not known is None.

    Attributes:
        model: The model, or sort of models, that it was made for.
        method: The predictor's kind.
        schedule: The schedule's kind and settings.
        nfe: How many steps the schedule computes.
        num_steps: Steps of the run that it was made for.
        fitted_on: What the weights were fitted on.
    """

    model: str
    method: str
    schedule: str
    nfe: int | None
    num_steps: int
    fitted_on: str | None

    def __str__(self) -> str:
        """One line for people."""
        steps = f"{self.nfe or '?'} of {self.num_steps} steps ({self.schedule})"
        fitted = f"fitted on {self.fitted_on}" if self.fitted_on else "nothing to fit"
        return f"{self.model}: {self.method}, {steps}, {fitted}"


def describe_preset(path: Path) -> Preset | str:
    """What a preset is for, or why it cannot be read."""
    try:
        config = load_config(path)
        weights = config.predictor.weights_file
        metadata = None if weights is None else load_metadata(weights)
        sigmas = metadata.sigmas if metadata else even_grid(config.training.num_steps)
        nfe = build_strategy(config).nfe(sigmas)
    except LesaError as error:
        return f"cannot be read: {str(error).replace(str(path.parent), '...')}"
    prompts = metadata.training.get("prompts") if metadata else None
    fitted = None if metadata is None else f"{prompts} prompts" if prompts else "this model"
    return Preset(_model_of(config), config.predictor.kind, schedule_text(config), nfe, len(sigmas) - 1, fitted)


def schedule_text(config: LesaConfig) -> str:
    """A schedule's kind with its settings, short."""
    settings = config.schedule.model_dump(mode="json", exclude={"kind"}, exclude_defaults=True)
    return " ".join([config.schedule.kind, *(_setting(key, value) for key, value in settings.items())])


def _setting(key: str, value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{key}={value}"


def _model_of(config: LesaConfig) -> str:
    kind = config.backbone.kind
    return config.training.model or ("any model" if kind == AUTO else f"any {kind} model")


def describe_model(model: NamedModel) -> str:
    """The pipeline's class, and how it is called."""
    try:
        index = json.loads((model.folder / "model_index.json").read_text("utf-8"))
    except (OSError, ValueError):
        return "its weights are not there"
    call = ", ".join(f"{key} {value!r}" for key, value in model.call.items())
    return f"{index.get('_class_name', 'a pipeline')}{' with ' * bool(call)}{call}"
