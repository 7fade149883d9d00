"""Predictors inside of a predictor's settings, validated as the `predictor` section itself is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationInfo, WithJsonSchema

from lesa_framework.config.reading import read_section
from lesa_framework.errors import UnknownPluginError
from lesa_framework.interfaces.predictor import PredictorConfig
from lesa_framework.plugin.manager import plugins


def _of_its_kind(given: Any, info: ValidationInfo) -> PredictorConfig:
    if isinstance(given, PredictorConfig):
        return given
    known = plugins().registry.predictors
    if not isinstance(given, dict) or not isinstance(given.get("kind"), str):
        raise ValueError(f"expected a mapping with a 'kind', one of {', '.join(known.names())}")
    try:
        model = known.get(given["kind"])
    except UnknownPluginError as error:
        raise ValueError(str(error).removeprefix("predictor.")) from error
    problems: list[str] = []
    found = read_section(model, "", given, (info.context or {}).get("folder"), problems)
    if found is None:
        raise ValueError(" ".join(problems))
    return found


AnyPredictor = Annotated[
    SerializeAsAny[PredictorConfig],
    BeforeValidator(_of_its_kind),
    WithJsonSchema({"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"]}),
]
"""The type of a setting that is a predictor of any kind that is registered, such as `{kind: taylorseer, order: 1}`."""


def weights_beneath(predictor: PredictorConfig) -> list[Path]:
    """The weights files of the predictors that one builds on, and of those beneath them; not its own."""
    bases = [value for _, value in predictor if isinstance(value, PredictorConfig)]
    own = [file for base in bases if (file := base.weights_file) is not None]
    return [*own, *(file for base in bases for file in weights_beneath(base))]
