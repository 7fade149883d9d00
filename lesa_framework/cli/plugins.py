"""`lesa plugins`: what the installed plugins registered."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from lesa_framework.cli import console, options
from lesa_framework.cli.listing import Preset, describe_model, describe_preset
from lesa_framework.errors import ConfigError
from lesa_framework.extras import BUNDLED, install, is_installed
from lesa_framework.plugin.manager import plugins

_SECTIONS = ("schedule", "router", "predictor", "backbone", "model", "preset", "peer", "told_peer", "metric")


@dataclass(frozen=True)
class Entry:
    """One line of the list."""

    section: str
    kind: str
    plugin: str
    summary: str
    preset: Preset | None = None


def command(
    section: Annotated[str | None, typer.Option(help="Only this section, for example backbone.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List every schedule, router, predictor, backbone, model, preset, peer and metric, and the plugin it came from.

    The last column of a backbone is the class of the models that it supports; that of a preset says for which model it
    is, what predicts, how many steps are computed and which, and what it was fitted on.

    Example: lesa plugins --section backbone
    """
    entries = registered()
    if section is not None:
        if section not in _SECTIONS:
            raise ConfigError(f"--section {section}: unknown. Known: {', '.join(_SECTIONS)}.")
        entries = [entry for entry in entries if entry.section == section]
    if section in {None, "model", "preset"} and not is_installed(BUNDLED):
        console.note(f"the bundled models and their presets are not installed: {install('reference')}")
    if as_json:
        typer.echo(json.dumps([_shown(entry) for entry in entries], indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("section", "kind", "plugin", "what it is"):
        table.add_column(heading, no_wrap=heading != "what it is")
    previous = ""
    for entry in entries:
        table.add_row(entry.section if entry.section != previous else "", entry.kind, entry.plugin, entry.summary)
        previous = entry.section
    console.results().print(table)


def registered() -> list[Entry]:
    """Everything that the plugins registered, section by section."""
    registry = plugins().registry
    entries: list[Entry] = []
    for section, catalog in (
        ("schedule", registry.schedules),
        ("router", registry.routers),
        ("predictor", registry.predictors),
    ):
        names = catalog.names()
        entries += [Entry(section, kind, names[kind], _first_line(item)) for kind, item in catalog.items().items()]
    summaries = {kind: adapter.model_class for kind, adapter in registry.backbones.items().items()}
    summaries |= {kind: _first_line(config) for kind, config in registry.custom_backbones.items().items()}
    entries += [Entry("backbone", kind, plugin, summaries[kind]) for kind, plugin in registry.backbone_kinds().items()]
    models, presets = registry.models.names(), registry.presets.names()
    entries += [
        Entry("model", name, models[name], describe_model(model)) for name, model in registry.models.items().items()
    ]
    entries += [_preset(name, presets[name], path) for name, path in registry.presets.items().items()]
    peers, told = registry.peers.names(), registry.told_peers.names()
    entries += [Entry("peer", name, peers[name], _first_line(item)) for name, item in registry.peers.items().items()]
    entries += [
        Entry("told_peer", name, told[name], _first_line(item)) for name, item in registry.told_peers.items().items()
    ]
    metrics = registry.metrics.names()
    entries += [Entry("metric", name, metrics[name], item.summary) for name, item in registry.metrics.items().items()]
    return entries


def _preset(name: str, plugin: str, path: Path) -> Entry:
    found = describe_preset(path)
    return Entry("preset", name, plugin, str(found), found if isinstance(found, Preset) else None)


def _shown(entry: Entry) -> dict[str, object]:
    return {key: value for key, value in asdict(entry).items() if value is not None}


def _first_line(item: object) -> str:
    return (getattr(item, "__doc__", None) or "").strip().partition("\n")[0]
