"""`lesa schema`: the JSON schema of the configuration."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lesa_framework.cli import files
from lesa_framework.cli.options import OutFile
from lesa_framework.config.schema import EngineConfig
from lesa_framework.errors import ConfigError
from lesa_framework.files import write_text
from lesa_framework.measure.spec import BenchSpec
from lesa_framework.plugin.manager import plugins
from lesa_framework.plugin.registry import AUTO

Schema = dict[str, Any]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def command(
    section: Annotated[str | None, typer.Option(help="Only this section, for example predictor.")] = None,
    kind: Annotated[str | None, typer.Option(help="With --section: only this kind, for example lesa.")] = None,
    bench: Annotated[bool, typer.Option("--bench", help="Of the files of `lesa bench` instead.")] = False,
    out: OutFile = None,
) -> None:
    """Print the JSON schema of configuration files, plugins included; editors complete and check YAML with it.

    Example: lesa schema --section predictor --kind taylorseer
    """
    if bench and (section or kind):
        raise ConfigError("--bench: has no sections and kinds. Leave --section and --kind out.")
    text = json.dumps(of_benchmarks() if bench else select(section, kind), indent=2) + "\n"
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
        return _with_kinds(models[kind].model_json_schema(), models[kind], models)
    (parts,), definitions = _schemas(models)
    return {**_any_of(parts), "$defs": definitions}


def of_benchmarks() -> Schema:
    """The schema of the files of `lesa bench`, with the names of all peers and metrics."""
    schema = BenchSpec.model_json_schema()
    registry = plugins().registry
    for section, catalog in (
        ("peers", registry.peers),
        ("peers_by_steps", registry.peers),
        ("told_peers", registry.told_peers),
        ("metrics", registry.metrics),
    ):
        schema["properties"][section]["items"]["enum"] = list(catalog.names())
    return {"$schema": _DIALECT, **schema, "title": "LESA Framework benchmark"}


def _sections() -> dict[str, dict[str, type[BaseModel]]]:
    """Section -> kind -> model; a section of the core's own has the single kind ''. Training goes by predictor."""
    registry = plugins().registry
    return {
        "schedule": dict(registry.schedules.items()),
        "router": dict(registry.routers.items()),
        "predictor": dict(registry.predictors.items()),
        "backbone": {kind: registry.backbone_config(kind) for kind in (AUTO, *registry.backbone_kinds())},
        "engine": {"": EngineConfig},
        "training": {kind: config.training_config for kind, config in registry.predictors.items().items()},
    }


def _whole(sections: dict[str, dict[str, type[BaseModel]]]) -> Schema:
    parts, definitions = _schemas(*sections.values())
    return {
        "$schema": _DIALECT,
        "title": "LESA Framework configuration",
        "type": "object",
        "additionalProperties": False,
        "required": ["schedule", "predictor"],
        "properties": {section: _any_of(part) for section, part in zip(sections, parts, strict=True)},
        "$defs": definitions,
    }


def _schemas(*sections: dict[str, type[BaseModel]]) -> tuple[list[list[Schema]], Schema]:
    """References for each section, one for kinds that share a model, and what they refer to."""
    different = [list(dict.fromkeys(models.values())) for models in sections]
    found, shared = models_json_schema([(model, "validation") for models in different for model in models])
    references = [[found[model, "validation"] for model in models] for models in different]
    definitions = dict(shared.get("$defs", {}))
    for kinds, models, parts in zip(sections, different, references, strict=True):
        for model, part in zip(models, parts, strict=True):
            name = part["$ref"].rpartition("/")[2]
            definitions[name] = _with_kinds(definitions[name], model, kinds)
    return references, definitions


def _with_kinds(schema: Schema, model: type[BaseModel], models: dict[str, type[BaseModel]]) -> Schema:
    """In a model that several kinds share, `kind` is a plain string: list the kinds, so that editors offer them."""
    kinds = [kind for kind, one in models.items() if one is model]
    properties = schema["properties"]
    if len(kinds) < 2 or "kind" not in properties:
        return schema
    return {**schema, "properties": {**properties, "kind": {**properties["kind"], "enum": kinds}}}


def _any_of(parts: list[Schema]) -> Schema:
    # Not oneOf: what all fits have in common is valid in each one's training section.
    return parts[0] if len(parts) == 1 else {"anyOf": parts}
