"""What a folder of checkpoints was started with: no other training may go on from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from lesa_framework import ArtifactError, ConfigError, in_one_line
from lesa_framework.files import read_text, write_text


def start_or_resume(work: Path, settings: Mapping[str, object]) -> None:
    """Write `started.json` to a folder of checkpoints, or check that the one that is there says the same.

    Args:
        work: Folder of the checkpoints.
        settings: What decides what is trained, as JSON values; None for what has no part in it.

    Raises:
        ConfigError: The folder is of another training, or holds checkpoints without a `started.json`.
        ArtifactError: `started.json` is damaged.
        LesaError: It cannot be written.
    """
    file = work / "started.json"
    if not file.exists():
        if any(work.glob("*.safetensors")):
            raise ConfigError(f"{work} does not say of which training it is. Name another --out, or delete {work}.")
        write_text(file, json.dumps(settings, indent=1) + "\n")
        return
    try:
        kept = dict(json.loads(read_text(file)))
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{file}: damaged ({in_one_line(error)[:200]}). Delete {work} to train again.") from error
    other = [name for name, value in settings.items() if kept.get(name) != value]
    if other:
        raise ConfigError(
            f"{work} is of another training: it has {_listed(kept, other)}, now {_listed(settings, other)}. "
            f"Name another --out, or delete {work}."
        )


def content_of(path: Path | None) -> str | None:
    """A name for the content of a file, or of all files that a folder has; None for no path. The path does not count.

    Raises:
        OSError: They cannot be read.
    """
    if path is None:
        return None
    found = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.is_file():
            found.update(file.read_bytes())
    return f"sha256:{found.hexdigest()[:16]}"


def _listed(settings: Mapping[str, object], names: Iterable[str]) -> str:
    values = ((name, settings.get(name)) for name in names)
    return ", ".join(f"no {name}" if value is None else f"{name} {value}" for name, value in values)
