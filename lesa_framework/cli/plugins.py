"""`lesa plugins`: what the installed plugins registered."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Column, Table

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
    section: Annotated[
        str | None, typer.Option(help="What each of one section is, for example of the backbones.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List what plugins add: schedules, routers, predictors, backbones, models, presets, peers and metrics.

    With --section, what each of them is and the plugin it came from: of a backbone the class of the models that it
    supports; of a preset for which model it is, what predicts, how many steps are computed, and what it was fitted on.

    Example: lesa plugins --section preset
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
    screen = console.results()
    if section is None:
        screen.print(_overview(entries))
        screen.print("What each of them is: lesa plugins --section preset, for example")
    elif section == "preset":
        screen.print(_presets(entries))
        screen.print("Which steps one computes: lesa plan --config PRESET")
    else:
        screen.print(_details(entries))


def _overview(entries: list[Entry]) -> Table:
    table = Table("section", Column("", justify="right"), "names", "from", box=box.SIMPLE_HEAD)
    for section in _SECTIONS:
        ours = [entry for entry in entries if entry.section == section]
        if ours:
            origins = "\n".join(sorted({entry.plugin for entry in ours}))
            table.add_row(section, str(len(ours)), _named(ours), origins)
    return table


def _named(entries: list[Entry]) -> str:
    """Names; presets are too many for that, and theirs differ too little: their models."""
    presets = [entry.preset for entry in entries if entry.section == "preset"]
    if not presets:
        return ", ".join(entry.kind for entry in entries)
    models = Counter(preset.model if preset else "unreadable" for preset in presets)
    return ", ".join(f"{count} for {model}" for model, count in models.items())


def _details(entries: list[Entry]) -> Table:
    table = Table(Column("kind", no_wrap=True), Column("plugin", no_wrap=True), "what it is", box=box.SIMPLE_HEAD)
    for entry in entries:
        table.add_row(entry.kind, entry.plugin, entry.summary)
    return table


def _presets(entries: list[Entry]) -> Table:
    """The presets of each model under its name: a reader has one of these and looks for what there is for it."""
    table = Table(Column("preset", no_wrap=True), "predictor", "computes", "fitted on", box=box.SIMPLE_HEAD)
    found = [(entry.kind, entry.preset) for entry in entries if entry.preset is not None]
    for model in dict.fromkeys(preset.model for _, preset in found):
        table.add_row(f"for {model}:")
        for name, preset in found:
            if preset.model == model:
                steps = f"{preset.nfe or '?'} of {preset.num_steps}"
                table.add_row(f"  {name}", preset.method, steps, preset.fitted_on or "nothing")
    for entry in entries:
        if entry.preset is None:
            table.add_row(entry.kind, entry.summary)
    return table


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
