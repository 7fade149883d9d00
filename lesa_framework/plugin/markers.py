"""The marker that a plugin puts on its hooks: `@lesa_framework.hookimpl`."""

from __future__ import annotations

import pluggy

PROJECT = "lesa"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
