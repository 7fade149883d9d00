"""YAML <-> configuration. Every mistake in a file is reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pydantic import BaseModel

from lesa_framework.config.reading import read_section, read_yaml
from lesa_framework.config.schema import EngineConfig, LesaConfig
from lesa_framework.errors import ConfigError, UnknownPluginError, did_you_mean
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.config import PluginConfig
from lesa_framework.interfaces.fit import TrainingConfig
from lesa_framework.plugin.manager import plugins
from lesa_framework.plugin.registry import AUTO, Registry, Shelf

Raw: TypeAlias = dict[str, Any]

_DEFAULTS: Raw = {"router": {"kind": "single"}}
_REQUIRED = ("schedule", "predictor")
_PLUGIN_SECTIONS = ("schedule", "router", "predictor")


def load_config(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> LesaConfig:
    """Read a configuration.

    Args:
        source: A YAML file, the name of a preset, or the already parsed mapping.
        overrides: Changes such as `schedule.interval=5`; values are YAML.

    Returns:
        The validated configuration; relative paths in it count from the file's folder.

    Raises:
        ConfigError: Something is not valid; the message lists all that was found.
    """
    raw, folder, name = _read(source)
    # Kinds first: choosing another plugin drops the old one's settings, but never one that was set beside it.
    for override in sorted(overrides, key=lambda text: not text.partition("=")[0].strip().endswith(".kind")):
        _override(raw, override)
    return parse_config(raw, folder, name)


def dump_config(config: LesaConfig) -> str:
    """The configuration as YAML that `load_config` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json", exclude={"name"}), sort_keys=False)


def parse_config(raw: Mapping[str, Any], folder: Path, name: str) -> LesaConfig:
    """Validate an already parsed mapping.

    Raises:
        ConfigError: Something is not valid.
    """
    registry = plugins().registry
    problems: list[str] = []
    merged = {**_DEFAULTS, **raw}
    sections = tuple(field for field in LesaConfig.model_fields if field != "name")
    problems += [
        f"{key}: unknown section. Known: {', '.join(sections)}.{did_you_mean(str(key), sections)}"
        for key in raw
        if key not in sections
    ]
    problems += [
        f"{key}: missing. Add for example `{key}: {{kind: {next(iter(_shelf(registry, key).names()), '...')}}}`."
        for key in _REQUIRED
        if key not in merged
    ]
    parts: dict[str, BaseModel | None] = {}
    for key in _PLUGIN_SECTIONS:
        if key in merged:
            parts[key] = _plugin_section(_shelf(registry, key), key, merged[key], folder, problems)
    if "backbone" in merged:
        parts["backbone"] = _backbone_section(registry, merged["backbone"], folder, problems)
    if "engine" in merged:
        parts["engine"] = read_section(EngineConfig, "engine", merged["engine"], folder, problems)
    if "training" in merged:
        training = _training_class(registry, merged.get("predictor"))
        parts["training"] = read_section(training, "training", merged["training"], folder, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    return LesaConfig.model_validate({**parts, "name": name})


def _read(source: str | Path | Mapping[str, Any]) -> tuple[Raw, Path, str]:
    if isinstance(source, Mapping):
        return {key: _copy(value) for key, value in source.items()}, Path.cwd(), "config"
    if not isinstance(source, str | Path):
        raise ConfigError(  # notebooks have no type checker
            f"config: a {type(source).__name__} is none. Give a YAML file, a preset's name, a mapping or a LesaConfig."
        )
    path = Path(source)
    try:
        is_file = path.is_file()
    except OSError:  # a name that no file system takes, such as a whole configuration given as text
        is_file = False
    if not is_file:
        presets = plugins().registry.presets
        if str(source) not in presets:
            known = ", ".join(presets.names()) or "none"
            near = did_you_mean(str(source), presets.names())
            raise ConfigError(f"config: '{source}' is neither a file nor a preset. Presets: {known}.{near}")
        path = presets.get(str(source))
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{path}: expected sections such as `predictor: {{kind: reuse}}`, found {type(raw).__name__}."
        )
    return raw, path.resolve().parent, path.stem


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _override(raw: Raw, text: str) -> None:
    path, equals, value = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {text}: expected SECTION.KEY=VALUE, for example schedule.interval=5.")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not YAML: {error}") from error
    place = raw
    for key in keys[:-1]:
        inner = place.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {text}: '{key}' is a value, not a section.")
        place = inner
    if keys[1:] == ["kind"] and keys[0] in (*_PLUGIN_SECTIONS, "backbone") and place.get("kind") != parsed:
        # Another plugin has other settings: the old one's would only be refused. Every backbone has a tap.
        kept = {key: place[key] for key in place if keys[0] == "backbone" and key in BackboneConfig.model_fields}
        place.clear()
        place.update(kept)
        training = raw.get("training")
        if keys[0] == "predictor" and isinstance(training, dict):  # another predictor has another fit
            raw["training"] = {key: training[key] for key in training if key in TrainingConfig.model_fields}
    place[keys[-1]] = parsed


def _shelf(registry: Registry, key: str) -> Shelf[Any]:
    shelves: dict[str, Shelf[Any]] = {
        "schedule": registry.schedules,
        "router": registry.routers,
        "predictor": registry.predictors,
    }
    return shelves[key]


def _plugin_section(
    shelf: Shelf[type[PluginConfig]], key: str, raw: Any, folder: Path, problems: list[str]
) -> BaseModel | None:
    if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str):
        problems.append(f"{key}: expected a mapping with a 'kind', one of {', '.join(shelf.names())}; found {raw!r}.")
        return None
    try:
        model = shelf.get(raw["kind"])
    except UnknownPluginError as error:
        problems.append(str(error))
        return None
    return read_section(model, key, raw, folder, problems)


def _training_class(registry: Registry, predictor: Any) -> type[TrainingConfig]:
    """The class that the predictor names; of a predictor that is not valid, what all have in common."""
    kind = predictor.get("kind") if isinstance(predictor, dict) else None
    known = isinstance(kind, str) and kind in registry.predictors
    return registry.predictors.get(str(kind)).training_config if known else TrainingConfig


def _backbone_section(registry: Registry, raw: Any, folder: Path, problems: list[str]) -> BaseModel | None:
    kind = raw.get("kind", AUTO) if isinstance(raw, dict) else AUTO
    if not isinstance(kind, str):
        return read_section(BackboneConfig, "backbone", raw, folder, problems)
    try:
        model = registry.backbone_config(kind)
    except UnknownPluginError as error:
        problems.append(str(error))
        # Nobody knows its options: only what every kind has can be checked.
        common = {key: value for key, value in raw.items() if key in BackboneConfig.model_fields}
        return read_section(BackboneConfig, "backbone", common, folder, problems)
    if isinstance(raw, dict):
        for owner, config in registry.custom_backbones.items().items():
            options = [str(key) for key in raw if key in config.model_fields and key not in model.model_fields]
            if options:
                problems.append(
                    f"backbone: {', '.join(options)}: options of 'kind: {owner}', but the kind is '{kind}'."
                )
                raw = {key: value for key, value in raw.items() if key not in options}
    return read_section(model, "backbone", raw, folder, problems)
