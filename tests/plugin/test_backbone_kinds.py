from __future__ import annotations

from typing import Literal

import pytest

from lesa_framework import (
    BackboneAdapter,
    BackboneConfig,
    CustomBackboneConfig,
    PluginContractError,
    UnknownPluginError,
)
from lesa_framework.plugin.manager import Plugins
from lesa_framework.testing import TinyDiTAdapter
from tests.plugin.registering import WideConfig, plugin


def test_auto_cannot_be_registered():
    with pytest.raises(PluginContractError, match="backbone 'auto' is reserved for the automatic choice"):
        Plugins().add("mine", plugin(lambda registrar: registrar.add_backbone("auto", TinyDiTAdapter)))


def test_a_backbone_with_options_of_its_own():
    found = Plugins()
    found.add("mine", plugin(lambda registrar: registrar.add_custom_backbone(WideConfig)))
    found.add("yours", plugin(lambda registrar: registrar.add_backbone("tiny", TinyDiTAdapter)))
    assert found.registry.backbone_kinds() == {"tiny": "yours", "wide": "mine"}
    assert found.registry.backbone_config("wide") is WideConfig
    assert found.registry.backbone_config("tiny") is found.registry.backbone_config("auto") is BackboneConfig


@pytest.mark.parametrize("first", [True, False])
def test_a_backbones_name_is_taken_once_with_options_or_without(first):
    def one(registrar):
        registrar.add_custom_backbone(WideConfig)

    def other(registrar):
        registrar.add_backbone("wide", TinyDiTAdapter)

    found = Plugins()
    found.add("first", plugin(one if first else other))
    with pytest.raises(PluginContractError, match="second: backbone 'wide' is already registered by first"):
        found.add("second", plugin(other if first else one))


def test_a_backbone_with_options_needs_a_name_of_its_own():
    class Nameless(CustomBackboneConfig):
        def build(self, model) -> BackboneAdapter:
            return TinyDiTAdapter()

    class Auto(Nameless):
        kind: Literal["auto"] = "auto"

    with pytest.raises(PluginContractError, match="Nameless: 'kind' must be a Literal of one name"):
        Plugins().add("mine", plugin(lambda registrar: registrar.add_custom_backbone(Nameless)))
    with pytest.raises(PluginContractError, match="backbone 'auto' is reserved for the automatic choice"):
        Plugins().add("mine", plugin(lambda registrar: registrar.add_custom_backbone(Auto)))


def test_an_unknown_backbone_says_what_there_is():
    found = Plugins()
    found.add("mine", plugin(lambda registrar: registrar.add_custom_backbone(WideConfig)))
    with pytest.raises(UnknownPluginError) as caught:
        found.registry.backbone_config("wild")
    assert str(caught.value) == (
        "backbone.kind: 'wild' is not a registered backbone. Known: 'wide' (mine). Did you mean 'wide'? Or 'auto'."
    )
