"""Adapters for another library's class of a model that is known: `same_as`, `model_module` and `add_plugin`."""

from __future__ import annotations

import warnings

import pytest
from torch import nn

import lesa_framework as lesa
from lesa_framework.artifacts import ArtifactMetadata
from lesa_framework.artifacts.check import check_run
from lesa_framework.automatic.matching import suits
from lesa_framework.model_info import describe_model
from lesa_framework.plugin import manager
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, even_grid
from lesa_framework.types import RunInfo, Tap


class Elsewhere(nn.Module):
    """A `TinyDiT` whose parts have other names."""

    def __init__(self) -> None:
        super().__init__()
        inner = TinyDiT()
        self.layers, self.more_layers = inner.transformer_blocks, inner.single_transformer_blocks
        self.final = inner.norm_out


class Adapter(lesa.BackboneAdapter):
    model_class = "Elsewhere"
    same_as = "TinyDiT"
    blocks = ("layers", "more_layers")
    head = "final"


class Plugin:
    def __init__(self, kind: str, adapter: type[lesa.BackboneAdapter]) -> None:
        self._kind, self._adapter = kind, adapter

    @lesa.hookimpl
    def lesa_register(self, registrar):
        registrar.add_backbone(self._kind, self._adapter)


@pytest.fixture
def added(registered, monkeypatch):
    monkeypatch.setattr(manager, "plugins", lambda: registered)
    lesa.add_plugin("elsewhere", Plugin("tiny_elsewhere", Adapter))
    return registered


@pytest.mark.parametrize("asked", ["auto", "tiny", "tiny_elsewhere"])
def test_another_class_of_the_same_model_has_its_kind(added, asked):
    match = lesa.find_adapter(Elsewhere(), asked)
    assert isinstance(match.adapter, Adapter)
    assert match.kind == ("tiny_elsewhere" if asked == "tiny_elsewhere" else "tiny")


def test_without_the_adapter_of_the_other_class_a_kind_is_its_own(registered, monkeypatch):
    monkeypatch.setattr(manager, "plugins", lambda: registered)

    class Lonely(Adapter):
        same_as = "Unknown"

    lesa.add_plugin("lonely", Plugin("lonely", Lonely))
    assert lesa.find_adapter(Elsewhere()).kind == "lonely"


def test_a_class_name_of_several_libraries_is_told_by_its_module(added, monkeypatch):
    class Theirs(TinyDiTAdapter):
        model_module = "comfy."

    lesa.add_plugin("theirs", Plugin("a_tiny_of_theirs", Theirs))
    assert not isinstance(lesa.find_adapter(TinyDiT()).adapter, Theirs)
    monkeypatch.setattr(TinyDiT, "__module__", "comfy.ldm.tiny")
    assert isinstance(lesa.find_adapter(TinyDiT()).adapter, Theirs)


def test_a_plugin_that_was_added_is_not_added_twice(added):
    plugin = Plugin("once", TinyDiTAdapter)
    lesa.add_plugin("once", plugin)
    lesa.add_plugin("once", plugin)
    with pytest.raises(lesa.PluginContractError, match="once"):
        lesa.add_plugin("once", Plugin("twice", TinyDiTAdapter))


def made_on(model, adapter):
    info = describe_model(model, adapter.blocks, adapter.same_as)
    return ArtifactMetadata(
        kind="lesa", settings={}, sigmas=even_grid(4), backbone="tiny", tap=Tap.PRE_HEAD, models=(info,)
    )


@pytest.mark.parametrize("is_ours", [True, False])
def test_an_artifact_of_either_class_fits_both(is_ours):
    theirs, ours = made_on(TinyDiT(), TinyDiTAdapter), made_on(Elsewhere(), Adapter)
    metadata, run = (theirs, ours.run) if is_ours else (ours, theirs.run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_run(metadata, run)


def test_an_artifact_of_more_blocks_is_refused():
    with pytest.raises(lesa.ArtifactError, match=r"2\+2 blocks"):
        check_run(made_on(TinyDiT(layers=3), TinyDiTAdapter), made_on(Elsewhere(), Adapter).run)


def test_a_choice_trusts_no_weights_that_it_cannot_compare():
    run: RunInfo = made_on(Elsewhere(), Adapter).run
    refusal = suits(made_on(TinyDiT(), TinyDiTAdapter), run)
    assert refusal is not None
    assert "another library's class" in refusal.reason
