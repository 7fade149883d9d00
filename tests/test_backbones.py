"""Which adapter fits a model, and the message when none does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lesa_framework as lesa
from lesa_framework import BackboneAdapter, BackboneConfig, ConfigError, UnknownPluginError, UnsupportedBackboneError
from lesa_framework.plugin.manager import Plugins, plugins
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, even_grid

RAW = {"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)


class Foreign(nn.Module):
    """Laid out as `TinyDiT` is, under another name."""

    def __init__(self):
        super().__init__()
        self.transformer_blocks = nn.ModuleList([Block(), Block()])
        self.single_transformer_blocks = nn.ModuleList([Block(), Block()])
        self.norm_out = nn.Identity()

    def forward(self, hidden_states, timestep):
        return self.norm_out(hidden_states)


class TinyDiffuser(nn.Module):
    """Laid out as nothing that is known."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        self.core = nn.Module()
        self.core.blocks = nn.ModuleList([Block() for _ in range(3)])
        self.last = nn.Linear(2, 2)

    def forward(self, x, t):
        return self.last(x)


class OneListAdapter(BackboneAdapter):
    """Fits `Foreign` too, but covers half of its blocks."""

    model_class = "OneListTransformer"
    blocks = ("transformer_blocks",)
    head = "norm_out"


class TinyDiTLikeAdapter(TinyDiTAdapter):
    model_class = "ForeignTransformer"


@pytest.fixture
def registered(monkeypatch):
    """Few adapters, all of them known to the test."""
    found = Plugins()

    class Here:
        @staticmethod
        @lesa.hookimpl
        def lesa_register(registrar):
            registrar.add_backbone("tiny", TinyDiTAdapter)
            registrar.add_backbone("one_list", OneListAdapter)
            for number in range(30):
                adapter = type(f"Other{number}", (BackboneAdapter,), {
                    "model_class": f"Video{number}Model", "blocks": (f"stack{number}",), "head": "out"
                })  # fmt: skip
                registrar.add_backbone(f"video{number}", adapter)

    found.add("here", Here())
    found.registry.custom_backbones = plugins().registry.custom_backbones
    monkeypatch.setattr("lesa_framework.backbones.plugins", lambda: found)
    return found


def refused(model, backbone="auto") -> str:
    with pytest.raises(UnsupportedBackboneError) as caught:
        lesa.find_adapter(model, backbone)
    return str(caught.value)


@pytest.mark.usefixtures("registered")
class TestFinding:
    def test_by_the_names_of_the_class_and_its_bases(self):
        assert lesa.find_adapter(TinyDiT()).kind == "tiny"
        assert lesa.find_adapter(type("Derived", (TinyDiT,), {})()).kind == "tiny"

    def test_by_its_own_name_or_a_section(self):
        found = lesa.find_adapter(Foreign(), "tiny")
        assert found.kind == "tiny"
        assert isinstance(found.adapter, TinyDiTAdapter)
        assert lesa.find_adapter(Foreign(), BackboneConfig(kind="tiny")).kind == "tiny"

    def test_a_kind_for_another_class_is_not_verified_for_this_one(self):
        assert not lesa.find_adapter(Foreign(), "tiny").verified
        assert lesa.find_adapter(type("Derived", (TinyDiT,), {})(), "tiny").verified

    def test_an_unknown_name(self):
        with pytest.raises(UnknownPluginError, match=r"backbone.kind: 'tinny' is not a registered backbone") as caught:
            lesa.find_adapter(TinyDiT(), "tinny")
        assert str(caught.value).endswith("Did you mean 'tiny'? Or 'auto'.")

    def test_a_kind_with_options_by_its_name_alone(self):
        with pytest.raises(ConfigError, match=r"'module' has options of its own \(blocks, head, sigma"):
            lesa.find_adapter(TinyDiT(), "module")


@pytest.mark.usefixtures("registered")
class TestNoneFits:
    def test_one_of_the_same_layout(self):
        message = refused(Foreign())
        assert message.startswith("Foreign: no backbone adapter fits this class.\nIts layout is that of 'tiny' ")
        assert "try backbone.kind=tiny" in message
        assert "one_list" not in message  # half of the stack is no fit
        assert "`lesa new backbone NAME` writes one with its test" in message
        assert "docs/" not in message
        assert len(message.splitlines()) <= 7
        assert "video" not in message

    def test_one_of_the_same_layout_that_reads_other_arguments(self):
        class Renamed(Foreign):
            def forward(self, x, t):
                return self.norm_out(x)

        assert "Its layout" not in refused(Renamed())

    def test_one_of_a_similar_name(self):
        assert "The nearest by name are 'tiny' (TinyDiT), " in refused(TinyDiffuser())

    def test_the_configuration_that_may_do_without_python(self):
        assert (
            '  backbone: {kind: module, blocks: [core.blocks], head: last, sigma: "t/1000"}'
            in refused(TinyDiffuser()).splitlines()
        )

    def test_what_is_guessed_can_be_used(self):
        adapter = lesa.find_adapter(
            TinyDiffuser(),
            lesa.load_config({
                **RAW, "backbone": {"kind": "module", "blocks": ["core.blocks"], "head": "last", "sigma": "t/1000"}
            }).backbone,
        ).adapter  # fmt: skip
        assert adapter.blocks == ("core.blocks",)

    def test_nothing_to_go_by(self):
        message = refused(nn.Linear(1, 1))
        assert message == (
            "Linear: no backbone adapter fits this class.\n"
            "The nearest by name are 'video0' (Video0Model), 'video1' (Video1Model), 'video2' (Video2Model), "
            "but none of them fits its modules and arguments.\n"
            "An adapter of your own is a class with four names: the model's class, its lists of blocks, the module "
            "after them, and the argument with the noise level. `lesa new backbone NAME` writes one with its test; "
            "`lesa plugins` lists the adapters that there are."
        )

    def test_accelerate_says_the_same_and_touches_nothing(self):
        model = Foreign()
        with pytest.raises(UnsupportedBackboneError, match="Its layout is that of 'tiny'"):
            lesa.accelerate(model, RAW, sigmas=even_grid(3))
        assert "forward" not in model.__dict__

    def test_a_forced_one_names_all_that_is_missing(self):
        message = refused(TinyDiffuser(), "tiny")
        assert message.startswith(
            "backbone.kind: 'tiny' is for TinyDiT and does not fit TinyDiffuser: TinyDiffuser has no module "
            "'transformer_blocks'. It has: embed, core, last."
        )
        assert "Missing too: single_transformer_blocks, norm_out." in message

    def test_a_forced_one_points_at_the_one_that_fits(self):
        assert "Its layout is that of 'tiny' (TinyDiT)." in refused(Foreign(), "video3")


def test_what_torch_compile_wrapped_is_found(registered):
    assert lesa.find_adapter(torch.compile(TinyDiT(), backend="eager")).kind == lesa.find_adapter(TinyDiT()).kind
