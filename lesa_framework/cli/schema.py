"""`lesa schema`: the JSON schema of the configuration."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lesa_framework.cli import files
from lesa_framework.cli.options import OutFile
from lesa_framework.config.schema import BackboneConfig, EngineConfig, TrainingConfig
from lesa_framework.errors import ConfigError
from lesa_framework.files import write_text
from lesa_framework.plugin.manager import plugins

Schema = dict[str, Any]


def command(
    section: Annotated[str | None, typer.Option(help="Only this section, for example predictor.")] = None,
    kind: Annotated[str | None, typer.Option(help="With --section: only this kind, for example lesa.")] = None,
    out: OutFile = None,
) -> None:
    """Print the JSON schema of configuration files, plugins included; editors complete and check YAML with it.

    Example: lesa schema --section predictor --kind taylorseer
    """
    text = json.dumps(select(section, kind), indent=2) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    files.check_out_file(out)
    write_text(out, text)


def select(section: str | None = None, kind: str | None = None) -> Schema:
    """The schema of a whole file, of a section or of one kind.

    Raises:
        ConfigError: There is no such section or kind.
    """
    sections = _sections()
    if section is None:
        if kind is not None:
            raise ConfigError(f"--kind {kind}: name its section too, for example --section predictor.")
        return _whole(sections)
    if section not in sections:
        raise ConfigError(f"--section {section}: unknown. Known: {', '.join(sections)}.")
    models = sections[section]
    if kind is not None:
        if kind not in models:
            known = ", ".join(name for name in models if name) or "none: this section has no kinds"
            raise ConfigError(f"--kind {kind}: not a kind of {section}. Known: {known}.")
        return models[kind].model_json_schema()
    parts, definitions = _schemas(list(models.values()))
    return {**_one_of([parts[model] for model in models.values()]), "$defs": definitions}


def _sections() -> dict[str, dict[str, type[BaseModel]]]:
    """Section -> kind -> model; sections that are no plugin's have the single kind ''."""
    registry = plugins().registry
    return {
        "schedule": dict(registry.schedules.items()),
        "router": dict(registry.routers.items()),
        "predictor": dict(registry.predictors.items()),
        "backbone": {"": BackboneConfig},
        "engine": {"": EngineConfig},
        "training": {"": TrainingConfig},
    }


def _whole(sections: dict[str, dict[str, type[BaseModel]]]) -> Schema:
    parts, definitions = _schemas([model for models in sections.values() for model in models.values()])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "LESA Framework configuration",
        "type": "object",
        "additionalProperties": False,
        "required": ["schedule", "predictor"],
        "properties": {
            section: _one_of([parts[model] for model in models.values()]) for section, models in sections.items()
        },
        "$defs": definitions,
    }


def _schemas(models: list[type[BaseModel]]) -> tuple[dict[type[BaseModel], Schema], Schema]:
    found, shared = models_json_schema([(model, "validation") for model in models])
    return {model: found[model, "validation"] for model in models}, shared.get("$defs", {})


def _one_of(parts: list[Schema]) -> Schema:
    return parts[0] if len(parts) == 1 else {"oneOf": parts}
