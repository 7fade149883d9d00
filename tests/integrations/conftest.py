"""Where the tests of the nodes run: against the contract always, against ComfyUI where it is there."""

from __future__ import annotations

import copy

import pytest

from lesa_framework.plugin.manager import Plugins, plugins
from tests.integrations.comfyui import comfyui, contract, package

_WORLDS: dict[object, object] = {}


@pytest.fixture(params=[contract, comfyui], ids=["contract", "comfyui"])
def world(request, monkeypatch):
    """ComfyUI or its contract, with the nodes loaded and their adapters registered for this test alone."""
    if request.param is comfyui:
        comfyui.require()
    if request.param not in _WORLDS:
        _WORLDS[request.param] = request.param.World()
    found = Plugins()
    found.registry.__dict__.update(plugins().registry.__dict__)
    found.registry.backbones = copy.copy(found.registry.backbones)
    found.registry.backbones._items = dict(found.registry.backbones._items)
    for module in ("plugin.manager", "api", "backbones", "config.loading"):
        monkeypatch.setattr(f"lesa_framework.{module}.plugins", lambda: found)
    made = _WORLDS[request.param]
    package.part(made.package, "layouts").register()
    return made
