"""The base of every plugin's configuration."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from lesa_framework.errors import ConfigError
from lesa_framework.interfaces.published import Imported, Published


class PluginConfig(BaseModel):
    """A user's settings for one plugin: its `kind`, and the plugin's own settings.

    Subclasses set `kind` to a `Literal` with a default; unknown keys are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    imports_bytes: ClassVar[bool] = False
    """Whether what others publish for this kind is a file of bytes, not text."""

    kind: str

    @classmethod
    def imports(cls) -> bool:
        """Whether `lesa import` can read what others publish for this kind."""
        return cls.read_published.__func__ is not PluginConfig.read_published.__func__  # type: ignore[attr-defined]

    @classmethod
    def read_published(cls, published: Published) -> Imported:
        """Turn numbers that others published into a configuration, and weights where needed.

        Args:
            published: What they published.

        Raises:
            ConfigError: It is not what it should be, or this kind imports nothing, which is the default.
        """
        raise ConfigError(f"{published.name}: '{cls.model_fields['kind'].default}' imports nothing.")
