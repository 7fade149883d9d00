"""The markers of hooks: `hookspec` declares one here, `hookimpl` implements one in a plugin."""

from __future__ import annotations

import pluggy

PROJECT = "lesa"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name: `@lesa_framework.hookimpl`."""
