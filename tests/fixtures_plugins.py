"""Plugins for a test alone."""

from __future__ import annotations

import pytest

import lesa_framework as lesa
from lesa_framework.plugin.manager import Plugins, plugins
from lesa_framework.testing import TinyDiTAdapter


@pytest.fixture
def registered(monkeypatch):
    """The installed plugins, and an adapter for `TinyDiT` besides."""
    found = Plugins()

    class Tiny:
        @staticmethod
        @lesa.hookimpl
        def lesa_register(registrar):
            registrar.add_backbone("tiny", TinyDiTAdapter)

    installed = plugins().registry
    found.registry.predictors = installed.predictors
    found.registry.schedules, found.registry.routers = installed.schedules, installed.routers
    found.registry.presets = installed.presets
    found.add("tiny", Tiny())
    for module in ("lesa_framework.api", "lesa_framework.backbones", "lesa_framework.config.loading"):
        monkeypatch.setattr(f"{module}.plugins", lambda: found)
    return found
