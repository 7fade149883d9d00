"""Prompts of a file for commands that fit."""

from __future__ import annotations

from pathlib import Path

from lesa_framework.cli import console
from lesa_framework.files import read_prompts


def different_prompts(path: Path, name: str) -> list[str]:
    """The prompts of a file, each once; a note tells of the others.

    A prompt that is fitted on must not be among those that are held out, only because the file has it twice.

    Args:
        path: A UTF-8 text file with a prompt on each line.
        name: The option that named it, for messages.

    Raises:
        ConfigError: The file cannot be read or holds no prompts.
    """
    prompts = read_prompts(path, name)
    different = list(dict.fromkeys(prompts))
    repeated = len(prompts) - len(different)
    if repeated:
        console.note(f"{name} {path}: {repeated} of its {len(prompts)} prompts repeat earlier ones and are left out.")
    return different
