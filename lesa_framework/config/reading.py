"""Reads all our YAML files: a safe loader, and checks whose messages name the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lesa_framework.errors import ConfigError, did_you_mean
from lesa_framework.files import read_text

Config = TypeVar("Config", bound=BaseModel)


class _OnceLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, where YAML would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value}' is given twice; keep one of them", key.start_mark
                )
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ConfigError: It cannot be read, or is no YAML.
    """
    text = read_text(path, hint="Give a YAML file.")
    try:
        return yaml.load(text, _OnceLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error


def read_section(model: type[Config], key: str, raw: Any, folder: Path, problems: list[str]) -> Config | None:
    """Validate a mapping. When it is invalid, the result is None and the reasons are added to `problems`.

    Args:
        model: The class that validates it.
        key: Its place in the file, for messages; empty for a whole file.
        raw: The mapping.
        folder: The folder to which its relative paths refer.
        problems: Receives one line for each invalid value.
    """
    try:
        return model.model_validate(raw, context={"folder": folder})
    except ValidationError as error:
        details = error.errors()
        for detail in details:
            # A list with a bad item is also reported as too short: only the item's own fault helps.
            if any(other["loc"][: len(detail["loc"])] == detail["loc"] for other in details if other is not detail):
                continue
            place = ".".join([*([key] if key else []), *map(str, detail["loc"])])
            if detail["type"] == "extra_forbidden":
                known = sorted(model.model_fields)
                near = did_you_mean(str(detail["loc"][-1]), known)
                problems.append(f"{place}: unknown key. Known: {', '.join(known)}.{near}")
            else:
                problems.append(f"{place}: {detail['msg'].removeprefix('Value error, ')} (given {detail['input']!r}).")
        return None
