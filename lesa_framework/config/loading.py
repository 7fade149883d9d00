"""YAML <-> configuration. All mistakes in a file are reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pydantic import BaseModel

from lesa_framework.artifacts import load_metadata
from lesa_framework.config.overrides import override
from lesa_framework.config.reading import listed, read_section, read_yaml
from lesa_framework.config.repository import CONFIG, WEIGHTS, folder_of, is_file_name, is_repo
from lesa_framework.config.schema import EngineConfig, LesaConfig
from lesa_framework.errors import ConfigError, UnknownPluginError, did_you_mean, shortened, shown
from lesa_framework.extras import about_bundled
from lesa_framework.files import is_file, is_folder
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.fit import TrainingConfig
from lesa_framework.plugin.catalog import Catalog
from lesa_framework.plugin.manager import plugins
from lesa_framework.plugin.registry import AUTO, Registry

Raw: TypeAlias = dict[str, Any]

_DEFAULTS: Raw = {"router": {"kind": "single"}}
_REQUIRED = ("schedule", "predictor")
#: What a run needs of the configuration of a training.
_SAMPLING = ("schedule", "router", "predictor", "backbone", "engine")


def load_config(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> LesaConfig:
    """Read a configuration.

    Args:
        source: A YAML file, the name of a preset, a safetensors file of weights, which holds the configuration that
            it was trained with, a folder that `save_pretrained` wrote, a repository of the hub
            (`owner/name` or `owner/name@revision`), or the already parsed mapping.
        overrides: Changes such as `schedule.interval=5`; values are YAML.

    Returns:
        The validated configuration; relative paths in it count from the file's folder.

    Raises:
        ConfigError: Something is not valid; the message lists all that was found.
        ArtifactError: The weights cannot be read.
    """
    raw, folder, name = _read(source)
    override(raw, overrides)
    return parse_config(raw, folder, name)


def dump_config(config: LesaConfig) -> str:
    """The configuration as YAML that `load_config` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json", exclude={"name"}), sort_keys=False)


def parse_config(raw: Mapping[str, Any], folder: Path, name: str) -> LesaConfig:
    """Validate an already parsed mapping.

    Raises:
        ConfigError: Something is not valid.
    """
    reader = _Reader(plugins().registry, folder)
    merged = {**_DEFAULTS, **raw}
    sections = tuple(field for field in LesaConfig.model_fields if field != "name")
    for key in raw:
        if key not in sections:
            hint = did_you_mean(str(key), sections)
            reader.problems.append(f"{shortened(str(key))}: unknown section. Known: {', '.join(sections)}.{hint}")
    for key in _REQUIRED:
        if key not in merged:
            reader.problems.append(f"{key}: missing. Add for example `{key}: {{kind: {reader.example(key)}}}`.")
    parts = {key: reader.section(key, merged) for key in sections if key in merged}
    if reader.problems:
        raise ConfigError(listed(reader.problems))
    return LesaConfig.model_validate({**parts, "name": name})


def _read(source: str | Path | Mapping[str, Any]) -> tuple[Raw, Path, str]:
    if isinstance(source, Mapping):
        return {key: _copy(value) for key, value in source.items()}, Path.cwd(), "config"
    if not isinstance(source, str | Path):
        raise ConfigError(  # notebooks have no type checker
            f"config: a {type(source).__name__} is not a configuration. Give a YAML file, a preset's name, a mapping "
            "or a LesaConfig."
        )
    if not str(source).strip():
        raise ConfigError("config: the name is empty. Give a YAML file, a preset's name, a mapping or a LesaConfig.")
    path = Path(source)
    if is_folder(path) and is_file(path / CONFIG):
        # The hub's cache has links to files elsewhere, so the weights are beside the name and not beside the file.
        return _read_file(path / CONFIG, path.resolve(), path.resolve().name)
    if not is_file(path):
        presets = plugins().registry.presets
        if str(source) not in presets and is_repo(str(source)) and not is_folder(path):
            return _read_repo(str(source))
        if str(source) not in presets:
            raise ConfigError(_not_there(str(source), presets.names()))
        path = presets.get(str(source))
    is_shared = path.name == CONFIG and is_file(path.with_name(WEIGHTS))
    # What a link leads to may have another name, as in the hub's cache: its weights are beside the link.
    folder = path.absolute().parent if is_shared or path.suffix == ".safetensors" else path.resolve().parent
    # Every shared folder has a file of this name: its own name tells more.
    return _read_file(path, folder, path.absolute().parent.name if is_shared else path.stem)


def _not_there(name: str, presets: Iterable[str]) -> str:
    near = did_you_mean(name, presets) or about_bundled(name)
    if is_file_name(name):  # the names of all presets would bury that it was misspelt
        where = "Look at its path again." if Path(name).is_absolute() else f"It was looked for in {Path.cwd()}."
        return f"config: there is no file '{shortened(name)}'. {where}{near}"
    if is_folder(Path(name)):
        return f"config: '{shortened(name)}' is a folder without a {CONFIG}. Name a file in it, or a preset."
    known = ", ".join(presets) or "none"
    return f"config: '{shortened(name)}' is neither a file nor a preset. Presets: {known}.{near}"


def _read_repo(name: str) -> tuple[Raw, Path, str]:
    folder = folder_of(name)
    raw, _, _ = _read_file(folder / CONFIG, folder, "")
    for key, value in _files_named(raw):
        if (key, value) != ("predictor.weights", WEIGHTS):  # no other file is read because a stranger says so
            raise ConfigError(f"'{name}': its {key} is {shown(value)}; only {WEIGHTS} beside it is read.")
    return raw, folder, name.partition("@")[0].rpartition("/")[2]


def _files_named(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The settings that name files of weights or prompts, however deep; each with what it names."""
    if key.endswith((".weights", ".prompts_file")) and isinstance(value, str):
        yield key, value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for each, inner in items:
        yield from _files_named(inner, f"{key}.{each}".lstrip("."))


def _read_file(path: Path, folder: Path, name: str) -> tuple[Raw, Path, str]:
    raw = _trained_with(path) if path.suffix == ".safetensors" else read_yaml(path)
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{path}: expected sections such as `predictor: {{kind: reuse}}`, found {type(raw).__name__}."
        )
    return raw, folder, name


def _trained_with(path: Path) -> Raw:
    """The configuration that weights were trained with, and that uses them."""
    config = load_metadata(path).config
    if not all(isinstance(config.get(key), Mapping) for key in _REQUIRED):
        raise ConfigError(
            f"{path}: these weights do not say which schedule and predictor they are for. Give the configuration, the "
            "YAML file that names them as predictor.weights."
        )
    raw: Raw = {key: _copy(config[key]) for key in _SAMPLING if key in config}
    raw["predictor"]["weights"] = path.name
    return raw


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _only(raw: Any, model: type[BaseModel]) -> Any:
    """The keys that a class knows."""
    return {key: value for key, value in raw.items() if key in model.model_fields} if isinstance(raw, dict) else raw


class _Reader:
    """Reads the sections of one file, and collects what is wrong with them."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry, self._folder = registry, folder
        self._catalogs: dict[str, Catalog[Any]] = {
            "schedule": registry.schedules,
            "router": registry.routers,
            "predictor": registry.predictors,
        }
        self.problems: list[str] = []

    def example(self, key: str) -> str:
        """A kind that the section may have."""
        return next(iter(self._catalogs[key].names()), "...")

    def section(self, key: str, merged: Raw) -> BaseModel | None:
        """One section; None when it is not valid."""
        raw = merged[key]
        if key in self._catalogs:
            return self._plugin_section(key, raw)
        if key == "backbone":
            return self._backbone(raw)
        return self._read(EngineConfig, key, raw) if key == "engine" else self._training(raw, merged.get("predictor"))

    def _read(self, model: type[BaseModel], key: str, raw: Any) -> BaseModel | None:
        return read_section(model, key, raw, self._folder, self.problems)

    def _plugin_section(self, key: str, raw: Any) -> BaseModel | None:
        known = self._catalogs[key]
        if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str):
            kinds = ", ".join(known.names())
            self.problems.append(f"{key}: expected a mapping with a 'kind', one of {kinds}; found {shown(raw)}.")
            return None
        try:
            return self._read(known.get(raw["kind"]), key, raw)
        except UnknownPluginError as error:
            self.problems.append(str(error))
            return None

    def _training(self, raw: Any, predictor: Any) -> BaseModel | None:
        kind = predictor.get("kind") if isinstance(predictor, dict) else None
        if not isinstance(kind, str) or kind not in self._registry.predictors:
            # Whose settings these are is unknown: only what every fit has can be checked.
            return self._read(TrainingConfig, "training", _only(raw, TrainingConfig))
        model = self._registry.predictors.get(kind).training_config
        return self._read(model, "training", self._without_others_settings(raw, kind, model))

    def _without_others_settings(self, raw: Any, kind: str, model: type[TrainingConfig]) -> Any:
        """Settings of another predictor's fit are reported with that predictor's name."""
        if not isinstance(raw, dict):
            return raw
        predictors = self._registry.predictors.items()
        fields_of = {each: config.training_config.model_fields for each, config in predictors.items()}
        # Two fits may have a setting of one name: it is that of the predictor which has most of those given.
        for owner, fields in sorted(fields_of.items(), key=lambda item: -len(item[1].keys() & raw.keys())):
            keys = [f"training.{key}" for key in raw if key in fields and key not in model.model_fields]
            if keys:
                belong, them = ("belongs", "it") if len(keys) == 1 else ("belong", "them")
                self.problems.append(
                    f"{', '.join(keys)}: {belong} to predictor '{owner}', but predictor.kind is '{kind}'. Leave {them} "
                    f"out, or swap predictors with --set predictor.kind={kind}, which drops {them}."
                )
                raw = {key: value for key, value in raw.items() if f"training.{key}" not in keys}
        return raw

    def _backbone(self, raw: Any) -> BaseModel | None:
        kind = raw.get("kind", AUTO) if isinstance(raw, dict) else AUTO
        if not isinstance(raw, dict) or not isinstance(kind, str):
            return self._read(BackboneConfig, "backbone", raw)
        try:
            model = self._registry.backbone_config(kind)
        except UnknownPluginError as error:
            self.problems.append(str(error))
            # Its options are unknown: only what every kind has can be checked.
            return self._read(BackboneConfig, "backbone", _only(raw, BackboneConfig))
        return self._read(model, "backbone", self._without_others_options(raw, kind, model))

    def _without_others_options(self, raw: Raw, kind: str, model: type[BackboneConfig]) -> Raw:
        """Options of another kind are reported with that kind's name."""
        for owner, config in self._registry.custom_backbones.items().items():
            options = [str(key) for key in raw if key in config.model_fields and key not in model.model_fields]
            if options:
                self.problems.append(
                    f"backbone: {', '.join(options)}: options of 'kind: {owner}', but the kind is '{kind}'."
                )
                raw = {key: value for key, value in raw.items() if key not in options}
        return raw
