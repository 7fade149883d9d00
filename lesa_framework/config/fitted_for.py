"""What configurations were fitted for: the defaults of a run that uses them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError, shown
from lesa_framework.files import is_folder

Value = TypeVar("Value")


def model_of(configs: Sequence[LesaConfig]) -> str | None:
    """The model that they were fitted to; None where none says so.

    Raises:
        ConfigError: They name different ones.
    """
    said = {each.name: each.training.model for each in configs}
    return _agreed("model", said, "Name one with --model.", known_by=_place)


def steps_of(configs: Sequence[LesaConfig]) -> int | None:
    """The steps of the sampler that they were fitted for; None where none says so.

    Raises:
        ConfigError: They name different ones.
    """
    said = {each.name: each.training.num_steps for each in configs if "num_steps" in each.training.model_fields_set}
    return _agreed("num_steps", said, "Say how many to run.")


def call_of(configs: Sequence[LesaConfig], given: Collection[str] = ()) -> dict[str, Any]:
    """The arguments of the pipeline that they were fitted with.

    Args:
        configs: The configurations of one run.
        given: Arguments that the user gives, so that it does not matter what the configurations say.

    Raises:
        ConfigError: They differ in another one.
    """
    keys = dict.fromkeys(key for each in configs for key in each.training.call if key not in given)
    return {
        key: _agreed(
            f"call.{key}",
            {each.name: each.training.call[key] for each in configs if key in each.training.call},
            "Say which to use.",
        )
        for key in keys
    }


def prompts_file_of(configs: Sequence[LesaConfig]) -> Path | None:
    """The file of the prompts that they were fitted on; None where none says so.

    Raises:
        ConfigError: They name different ones.
    """
    said = {each.name: str(file.resolve()) for each in configs if (file := each.training.prompts_file) is not None}
    found = _agreed("prompts_file", said, "Give a file with --prompts.")
    return None if found is None else Path(found)


def _place(model: str) -> str | Path:
    """What tells two spellings of one folder to be the same model."""
    return Path(model).resolve() if is_folder(Path(model)) else model


def _itself(value: Value) -> Value:
    return value


def _agreed(
    key: str, said: Mapping[str, Value | None], remedy: str, known_by: Callable[[Value], object] = _itself
) -> Value | None:
    named = [(name, value) for name, value in said.items() if value is not None]
    for name, value in named[1:]:
        if known_by(value) != known_by(named[0][1]):
            raise ConfigError(
                f"training.{key}: '{named[0][0]}' was fitted with {shown(named[0][1])}, '{name}' with {shown(value)}. "
                f"{remedy}"
            )
    return named[0][1] if named else None
