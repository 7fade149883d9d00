from __future__ import annotations

from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Literal

import pytest

from lesa_framework import (
    AffinePredictor,
    BackboneAdapter,
    Filter,
    NamedModel,
    PluginContractError,
    PredictorConfig,
    Registrar,
    UnknownPluginError,
    hookimpl,
)
from lesa_framework.plugin import manager
from lesa_framework.plugin.manager import Plugins, plugins
from lesa_framework.testing import TinyDiT, TinyDiTAdapter
from tests.plugin.registering import plugin


class Line(AffinePredictor):
    def filter(self, entries, ctx):
        return Filter((1.0,))


class LineConfig(PredictorConfig):
    kind: Literal["line"] = "line"

    def build(self) -> Line:
        return Line()


def test_what_a_plugin_registers_carries_its_name():
    found = Plugins()
    found.add("mine", plugin(lambda registrar: registrar.add_predictor(LineConfig)))
    assert found.registry.predictors.names() == {"line": "mine"}
    assert found.registry.predictors.get("line") is LineConfig
    assert "line" in found.registry.predictors
    assert found.names() == ["mine"]


def test_everything_that_can_be_registered(tmp_path):
    (tmp_path / "b.yaml").touch()
    (tmp_path / "a.yaml").touch()
    (tmp_path / "readme.md").touch()

    def register(registrar: Registrar) -> None:
        registrar.add_backbone("tiny", TinyDiTAdapter)
        registrar.add_model("mine:tiny", NamedModel(tmp_path, {"height": 64}))
        registrar.add_presets(tmp_path)

    found = Plugins()
    found.add("mine", plugin(register))
    assert found.registry.backbones.get("tiny") is TinyDiTAdapter
    assert found.registry.models.get("mine:tiny").call == {"height": 64}
    assert list(found.registry.presets.items()) == ["a", "b"]


class Every:
    """Computes every few steps."""

    name = "every"

    def refusal(self, pipe):
        return None

    def ladders(self, pipe, workload):
        return []


def test_a_peer_is_registered_by_its_name():
    found, family = Plugins(), Every()
    found.add("mine", plugin(lambda registrar: registrar.add_peer(family)))
    assert found.registry.peers.names() == {"every": "mine"}
    assert found.registry.peers.get("every") is family
    with pytest.raises(UnknownPluginError) as caught:
        found.registry.peers.get("evry")
    assert str(caught.value) == "peer: 'evry' is not a registered peer. Known: 'every' (mine). Did you mean 'every'?"


@pytest.mark.parametrize("given", [Every, SimpleNamespace(name="every")])
def test_something_else_than_a_family_of_peers_is_refused(given):
    with pytest.raises(PluginContractError, match=r"^mine: add_peer needs an object with .*, not "):
        Plugins().add("mine", plugin(lambda registrar: registrar.add_peer(given)))


class At:
    """A cache that takes a list of steps."""

    name = "at"

    def refusal(self, pipe):
        return None

    def at(self, steps, pipe, workload):
        raise NotImplementedError


def test_a_told_peer_is_registered_beside_the_others():
    found, family = Plugins(), At()
    found.add("mine", plugin(lambda registrar: registrar.add_told_peer(family)))
    assert found.registry.told_peers.names() == {"at": "mine"}
    assert found.registry.told_peers.get("at") is family
    assert found.registry.peers.names() == {}
    with pytest.raises(UnknownPluginError, match=r"^told_peer: 'att' is not a registered told peer"):
        found.registry.told_peers.get("att")


@pytest.mark.parametrize("given", [At, Every(), SimpleNamespace(name="at")])
def test_something_else_than_a_family_of_told_peers_is_refused(given):
    with pytest.raises(PluginContractError, match=r"^mine: add_told_peer needs an object with .*, not "):
        Plugins().add("mine", plugin(lambda registrar: registrar.add_told_peer(given)))


def test_a_name_is_taken_once():
    found = Plugins()
    found.add("first", plugin(lambda registrar: registrar.add_predictor(LineConfig)))
    with pytest.raises(PluginContractError, match="second: predictor 'line' is already registered by first"):
        found.add("second", plugin(lambda registrar: registrar.add_predictor(LineConfig)))


def test_a_plugin_is_taken_once():
    found, mine = Plugins(), plugin(lambda _: None)
    found.add("mine", mine)
    with pytest.raises(PluginContractError, match="plugin 'mine'"):
        found.add("mine", mine)


def test_a_misspelt_hook_is_refused():
    class Misspelt:
        @hookimpl
        def lesa_regster(self, registrar):
            """Never called."""

    with pytest.raises(PluginContractError, match=r"plugin 'mine'.*lesa_regster"):
        Plugins().add("mine", Misspelt())


def test_a_hook_with_another_argument_is_refused():
    class Misspelt:
        @hookimpl
        def lesa_step_end(self, recrod):
            """Never called."""

    with pytest.raises(PluginContractError, match=r"(?s)plugin 'mine'.*recrod"):
        Plugins().add("mine", Misspelt())


def test_a_registration_that_fails_names_the_plugin():
    def register(registrar):
        raise ZeroDivisionError("oops")

    with pytest.raises(PluginContractError, match="plugin 'mine': lesa_register failed: oops"):
        Plugins().add("mine", plugin(register))


def test_a_config_without_a_kind_of_its_own_is_refused():
    class Kindless(PredictorConfig):
        def build(self):
            return Line()

    class AnyKind(LineConfig):
        kind: str = "line"

    class TwoKinds(LineConfig):
        kind: Literal["line", "curve"] = "line"

    for config in (Kindless, AnyKind, TwoKinds):
        with pytest.raises(PluginContractError, match=rf"{config.__name__}: 'kind' must be a Literal of one name"):
            Plugins().add("mine", plugin(lambda registrar, config=config: registrar.add_predictor(config)))


def test_an_adapter_without_a_layout_is_refused():
    class Half(BackboneAdapter):
        model_class = "Half"

    with pytest.raises(PluginContractError, match="backbone 'half': Half sets no blocks and no head"):
        Plugins().add("mine", plugin(lambda registrar: registrar.add_backbone("half", Half)))


@pytest.mark.parametrize("given", [TinyDiTAdapter(), TinyDiT, "tiny"])
def test_something_else_than_an_adapters_class_is_refused(given):
    with pytest.raises(PluginContractError, match=r"^mine: backbone 'tiny': add_backbone needs a subclass .*, not "):
        Plugins().add("mine", plugin(lambda registrar: registrar.add_backbone("tiny", given)))


def test_very_many_names_are_listed_without_their_plugins():
    def register(registrar):
        for number in range(30):
            registrar.add_backbone(f"m{number:02}", TinyDiTAdapter)

    found = Plugins()
    found.add("mine", plugin(register))
    with pytest.raises(UnknownPluginError) as caught:
        found.registry.backbone_config("m077")
    known = ", ".join(f"m{number:02}" for number in range(30))
    assert str(caught.value) == (
        f"backbone.kind: 'm077' is not a registered backbone. Known: {known}. Did you mean 'm07'? Or 'auto'."
    )


def test_an_unknown_name_says_what_there_is():
    found = Plugins()
    with pytest.raises(UnknownPluginError, match=r"predictor.kind: 'x' is not a registered predictor. Known: none."):
        found.registry.predictors.get("x")


def test_plugins_hear_of_runs():
    found, heard = Plugins(), []

    class Watching:
        @hookimpl
        def lesa_run_start(self, run):
            heard.append(run)

    found.add("mine", Watching())
    found.hook.lesa_run_start(run="a run")
    assert heard == ["a run"]


def test_observers_are_told_in_pluggys_order_and_of_what_they_ask_for():
    found, heard = Plugins(), []

    def watching(name: str, **order: bool) -> SimpleNamespace:
        @hookimpl(**order)
        def lesa_step_end(record, feature=None):
            heard.append((name, record, feature))

        return SimpleNamespace(lesa_step_end=lesa_step_end)

    for name, order in {"a": {}, "first": {"tryfirst": True}, "last": {"trylast": True}, "b": {}}.items():
        found.add(name, watching(name, **order))
    (observer,) = found.observers
    observer.lesa_step_end(record="a record", latent="a latent", feature="a feature")
    assert heard == [(name, "a record", "a feature") for name in ("first", "b", "a", "last")]


def test_a_plugin_that_cannot_be_imported_is_named(monkeypatch):
    broken = EntryPoint("broken", "no_such_module_anywhere", "lesa")
    monkeypatch.setattr(manager, "entry_points", lambda group: [broken])
    plugins.cache_clear()
    try:
        with pytest.raises(
            PluginContractError, match=r"plugin 'broken' \(no_such_module_anywhere\) cannot be imported"
        ):
            plugins()
    finally:
        plugins.cache_clear()


def test_entry_points_are_asked_for_our_group(monkeypatch):
    asked = SimpleNamespace(groups=[])

    def entry_points(group):
        asked.groups.append(group)
        return []

    monkeypatch.setattr(manager, "entry_points", entry_points)
    plugins.cache_clear()
    try:
        assert plugins().names() == []
        assert plugins() is plugins()
    finally:
        plugins.cache_clear()
    assert asked.groups == ["lesa"]


def test_the_built_ins():
    registry = plugins().registry
    assert registry.predictors.names() == {
        "fitted": "lesa_fitted",
        "lesa": "lesa_kan",
        "reuse": "lesa_reuse",
        "taylorseer": "lesa_taylorseer",
        **dict.fromkeys(("adams_bashforth", "foca", "hicache", "l2p", "lagrange", "spectrum"), "lesa_rivals"),
    }
    assert set(registry.schedules.names()) == {
        *("fixed_interval", "steps", "noise_levels", "even", "always"),
        *("teacache", "easycache", "magcache"),
    }
    assert set(registry.routers.names()) == {"thresholds", "single"}
    assert registry.backbones.names()["flux"] == "lesa_diffusers"
    assert registry.models.names()["reference:flux"] == "lesa_reference"
    ours = dict.fromkeys(("clip_score", "image_reward", "lpips", "psnr_db", "rel_l2", "ssim"), "lesa_metrics")
    assert registry.metrics.names() == {"caption_score": "lesa_reference", **ours}
    assert registry.peers.names()["cache_dit_dbcache"] == "lesa_peers"
