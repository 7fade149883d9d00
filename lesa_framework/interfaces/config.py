"""The base of every plugin's configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PluginConfig(BaseModel):
    """A user's settings for one plugin: its `kind`, and the plugin's own settings.

    Subclasses set `kind` to a `Literal` with a default; unknown keys are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: str
