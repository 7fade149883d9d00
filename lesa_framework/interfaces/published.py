"""Numbers that others publish, and what `lesa import` makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from lesa_framework.artifacts.artifact import Artifact
from lesa_framework.types import Tap


@dataclass(frozen=True)
class Published:
    """What somebody else published, as the user gave it.

    Attributes:
        text: The content of the file, or what was given on the command line; empty for a kind that
            [`imports_bytes`][lesa_framework.PluginConfig.imports_bytes]. Nothing in it is ever run.
        name: What to call it in messages.
        source: Where it comes from, for the record; may be empty.
        licence: Its licence, for the record; may be empty.
        backbone: Kind of the adapter of the model that it was made for; None for what is usual for the kind.
        tap: The tap that its features are taken at; None for what is usual.
        shift: Shift of the linear grid that it was made for; None for what is usual.
        model: The model that it was made for, as `--model` of other commands takes it; None when that was not said.
        content: The content of the file for a kind that imports bytes. Nothing in it is ever run either.
    """

    text: str
    name: str
    source: str = ""
    licence: str = ""
    backbone: str | None = None
    tap: Tap | None = None
    shift: float | None = None
    model: str | None = None
    content: bytes = b""

    @property
    def record(self) -> dict[str, str]:
        """What an artifact's `training` says of where its numbers come from."""
        return {
            "imported_from": self.name,
            "sha256": sha256(self.content or self.text.encode()).hexdigest(),
            "source": self.source,
            "licence": self.licence,
        }


@dataclass(frozen=True)
class Imported:
    """A configuration, and weights if it needs any.

    Attributes:
        config: The sections of a configuration, as in a YAML file, without `predictor.weights`.
        artifact: The weights of its predictor, which are written next to it.
        note: What the user has to know about how it was understood; empty for nothing.
    """

    config: Mapping[str, Any]
    artifact: Artifact | None = None
    note: str = ""
