"""Plugins that a notebook adds, again and again."""

from __future__ import annotations

from typing import Literal

import pytest

from lesa_framework import PluginContractError, PredictorConfig, add_plugin, hookimpl, load_config
from lesa_framework.plugin import manager
from lesa_framework.plugin.manager import Plugins
from tests.plugin.registering import plugin


class MineConfig(PredictorConfig):
    kind: Literal["mine"] = "mine"
    damping: float = 1.0

    def build(self):
        raise NotImplementedError


class OtherConfig(MineConfig):
    kind: Literal["other"] = "other"


class Misspelt:
    @hookimpl
    def lesa_registers(self, registrar):
        """No hook has this name."""


def register(plugin: object, name: str = "notebook") -> None:
    add_plugin(name, plugin, replace=True)


def adding(config: type[PredictorConfig]) -> object:
    return plugin(lambda registrar: registrar.add_predictor(config))


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """The process's plugins, with one that is installed."""
    plugins = Plugins()
    plugins.add("installed", plugin(lambda registrar: None))
    monkeypatch.setattr(manager, "plugins", lambda: plugins)
    return plugins


def test_what_is_registered_is_listed_under_its_name(found):
    register(adding(MineConfig))
    assert found.registry.predictors.names() == {"mine": "notebook"}
    register(adding(OtherConfig), "second")
    assert found.registry.predictors.names() == {"mine": "notebook", "other": "second"}
    assert found.names() == ["installed", "notebook", "second"]


def test_a_cell_can_be_run_again(found):
    register(adding(MineConfig))
    register(adding(OtherConfig))
    assert found.registry.predictors.names() == {"other": "notebook"}
    assert len(found.hook.lesa_register.get_hookimpls()) == 2


def test_an_installed_plugin_is_not_replaced(found):
    with pytest.raises(PluginContractError, match="plugin 'installed' was not added to be replaced"):
        register(adding(MineConfig), "installed")
    assert found.names() == ["installed"]


@pytest.mark.parametrize("broken", [Misspelt(), plugin(lambda registrar: 1 / 0)])
def test_a_broken_plugin_leaves_nothing_so_that_the_mended_cell_can_be_run(found, broken):
    with pytest.raises(PluginContractError, match="plugin 'notebook'"):
        register(broken)
    assert found.names() == ["installed"]
    register(adding(MineConfig))
    assert found.registry.predictors.names() == {"mine": "notebook"}


def test_a_registered_predictor_is_known_to_configurations():
    config = {"schedule": {"kind": "always"}, "predictor": {"kind": "mine", "damping": 0.5}}
    try:
        register(adding(MineConfig), "for this test")
        assert load_config(config).predictor.damping == 0.5
    finally:
        register(plugin(lambda registrar: None), "for this test")
    assert "mine" not in manager.plugins().registry.predictors
