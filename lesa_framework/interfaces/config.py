"""The base of every plugin's configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PluginConfig(BaseModel):
    """What a user writes about one plugin: its `kind`, and its own settings beside it.

    Subclasses set `kind` to a `Literal` with a default; unknown keys are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: str
