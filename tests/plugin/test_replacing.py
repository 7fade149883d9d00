"""Plugins that a notebook adds, again and again."""

from __future__ import annotations

from types import ModuleType
from typing import Literal

import pytest

from lesa_framework import PluginContractError, PredictorConfig, Registrar, add_plugin, hookimpl, load_config
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


class Misargued:
    @hookimpl
    def lesa_run_end(self, reprot):
        """The hook has no argument of this name."""


class Wrapping:
    @hookimpl(wrapper=True)
    def lesa_run_end(self):
        return (yield)


class WrappingAsOfOld:
    @hookimpl(hookwrapper=True)
    def lesa_run_end(self):
        yield


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


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("broken", [Misspelt(), Misargued(), plugin(lambda registrar: 1 / 0)])
def test_a_broken_plugin_leaves_nothing_so_that_others_and_the_mended_one_can_be_added(found, broken, replace):
    with pytest.raises(PluginContractError, match="plugin 'notebook'"):
        add_plugin("notebook", broken, replace=replace)
    assert found.names() == ["installed"]
    add_plugin("second", adding(OtherConfig), replace=replace)
    add_plugin("notebook", adding(MineConfig), replace=replace)
    assert found.registry.predictors.names() == {"mine": "notebook", "other": "second"}


def test_the_same_object_is_registered_again_once_it_is_mended(found):
    mistakes = [ZeroDivisionError, KeyboardInterrupt]

    def fails_half_way(registrar: Registrar) -> None:
        registrar.add_predictor(MineConfig)
        if mistakes:
            raise mistakes.pop()
        registrar.add_predictor(OtherConfig)

    module = plugin(fails_half_way)
    for mistake in (KeyboardInterrupt, PluginContractError):
        with pytest.raises(mistake):
            add_plugin("notebook", module)
        assert found.registry.predictors.names() == {}
    add_plugin("notebook", module)
    assert found.registry.predictors.names() == {"mine": "notebook", "other": "notebook"}


def test_a_name_that_is_taken_stays_with_what_has_it(found):
    add_plugin("notebook", adding(MineConfig))
    with pytest.raises(PluginContractError, match="plugin 'notebook'"):
        add_plugin("notebook", adding(OtherConfig))
    assert found.registry.predictors.names() == {"mine": "notebook"}
    assert found.names() == ["installed", "notebook"]


def test_a_registered_predictor_is_known_to_configurations():
    config = {"schedule": {"kind": "always"}, "predictor": {"kind": "mine", "damping": 0.5}}
    try:
        register(adding(MineConfig), "for this test")
        assert load_config(config).predictor.damping == 0.5
    finally:
        register(plugin(lambda registrar: None), "for this test")
    assert "mine" not in manager.plugins().registry.predictors


@pytest.mark.parametrize("wrapping", [Wrapping(), WrappingAsOfOld()])
def test_a_hook_that_wraps_those_of_other_plugins_is_refused(found, wrapping):
    with pytest.raises(PluginContractError, match=r"plugin 'notebook': lesa_run_end is to wrap .* @hookimpl alone\."):
        register(wrapping)
    assert (found.names(), found.observers) == (["installed"], ())


def test_hooks_that_a_module_has_got_since_it_was_added_are_not_looked_at(found):
    cells, heard = ModuleType("cells"), []

    def ended(report):
        heard.append(report)

    def begun(run):
        heard.append(run)

    def mistaken(reprot):
        heard.append("a mistake")

    cells.lesa_run_end = hookimpl(ended)
    register(cells)
    for name, later in [("lesa_run_start", begun), ("lesa_run_end", mistaken)]:
        setattr(cells, name, hookimpl(later))
        (observer,) = found.observers
        observer.lesa_run_start(run="a run")
        observer.lesa_run_end(report="a report")
    assert heard == ["a report", "a report"]
