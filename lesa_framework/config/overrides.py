"""`--set SECTION.KEY=VALUE`: changes to a configuration before it is validated."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Final

from lesa_framework.config.reading import parse_argument, parse_yaml
from lesa_framework.errors import ConfigError, shortened
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.fit import TrainingConfig

#: How many names a path may have; sections are at most three deep.
_DEEPEST: Final = 10
_HAVE_KINDS: Final = ("schedule", "router", "predictor", "backbone")


def override(raw: dict[str, Any], changes: Sequence[str]) -> None:
    """Change a parsed configuration in place.

    Kinds come first: choosing another plugin drops the old one's settings, but never one that was set beside it.

    Raises:
        ConfigError: A change is not of the form SECTION.KEY=VALUE, or leads into a value.
    """
    for text in sorted(changes, key=lambda text: not _chooses_kind(text)):
        keys, value = _parsed(text)
        place = raw
        for key in keys[:-1]:
            inner = place.setdefault(key, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"--set {shortened(text)}: '{key}' is a value, not a section.")
            place = inner
        if keys[1:] == ["kind"] and keys[0] in _HAVE_KINDS and place.get("kind") != value:
            _drop_settings(raw, keys[0])
        if keys == ["predictor"] and _kind(raw.get("predictor")) != _kind(value):
            _drop_fit(raw)
        place[keys[-1]] = value


def _chooses_kind(text: str) -> bool:
    path = text.partition("=")[0].strip()
    return path.endswith(".kind") or path in _HAVE_KINDS


def _kind(section: Any) -> Any:
    return section.get("kind") if isinstance(section, dict) else None


def _parsed(text: str) -> tuple[list[str], Any]:
    path, equals, value = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys) or len(keys) > _DEEPEST:
        raise ConfigError(f"--set {shortened(text)}: expected SECTION.KEY=VALUE, for example schedule.interval=5.")
    place = f"--set {shortened(text)}"
    if keys[:-1] == ["training", "call"]:
        return keys, parse_argument(value, place)
    return keys, parse_yaml(value, f"{place}: the value is not valid YAML")


def _drop_settings(raw: dict[str, Any], section: str) -> None:
    """Drop the old plugin's settings, which the new one would refuse; keep the settings that all of its sort share."""
    _keep(raw[section], BackboneConfig.model_fields if section == "backbone" else ())
    if section == "predictor":
        _drop_fit(raw)


def _drop_fit(raw: dict[str, Any]) -> None:
    """Drop the settings of the old predictor's fit: another predictor has another fit."""
    if isinstance(raw.get("training"), dict):
        _keep(raw["training"], TrainingConfig.model_fields)


def _keep(section: dict[str, Any], names: Container[str]) -> None:
    for key in [key for key in section if key not in names]:
        del section[key]
