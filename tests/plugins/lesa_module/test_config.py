"""Mistakes in `backbone: {kind: module}`, and their messages."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lesa_framework as lesa
from lesa_framework import ConfigError, UnsupportedBackboneError
from tests.plugins.lesa_module.plain_dit import PlainDiT

SECTION = {"kind": "module", "blocks": ["blocks"], "head": "final_layer", "sigma": "t/1000"}
RAW = {"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}


def load(**backbone):
    return lesa.load_config({**RAW, "backbone": {**SECTION, **backbone}})


def misfit(model=None, **backbone) -> str:
    model = model or PlainDiT()
    with pytest.raises(UnsupportedBackboneError) as caught:
        lesa.accelerate(model, load(**backbone), sigmas=[1, 0.5, 0])
    assert "forward" not in model.__dict__
    return str(caught.value)


def refusal(section) -> str:
    with pytest.raises(ConfigError) as caught:
        lesa.load_config({**RAW, "backbone": section})
    return str(caught.value)


class TestTheFile:
    def test_one_list_may_stand_alone(self):
        assert load(blocks="blocks").backbone.blocks == ("blocks",)

    def test_it_is_written_and_read_back(self):
        config = load(tap="output", condition=None, block_returns={"blocks": "x"})
        again = lesa.load_config(_parsed(lesa.dump_config(config)))
        assert again.backbone == config.backbone
        assert again.backbone.block_returns == {"blocks": ("x",)}

    def test_an_invalid_formula(self):
        assert refusal({**SECTION, "sigma": "t**2"}) == (
            "backbone.sigma: 't ** 2' is not allowed: only + - * / on numbers and one name are. "
            "Valid examples: timestep, timestep/1000, 1 - t, (t + 1)/1000 (given 't**2')."
        )

    def test_stand_ins_that_return_nothing(self):
        assert refusal({**SECTION, "block_returns": {"blocks": []}}).startswith("backbone.block_returns.blocks: ")

    def test_every_mistake_at_once(self):
        message = refusal({"kind": "module", "blocks": [], "sigma": 3, "haed": "final_layer", "tap": "nowhere"})
        for part in ("backbone.blocks: ", "backbone.sigma: ", "backbone.head: Field required", "backbone.tap: "):
            assert part in message
        assert "backbone.haed: unknown key. Known: block_returns, blocks, condition, head, head_argument, " in message
        assert "Did you mean 'head'?" in message

    @pytest.mark.parametrize("kind", ["auto", "flux"])
    def test_its_options_under_another_kind(self, kind):
        assert refusal({**SECTION, "kind": kind}) == (
            f"backbone: blocks, head, sigma: options of 'kind: module', but the kind is '{kind}'."
        )

    def test_a_misspelt_kind_is_the_only_complaint(self):
        message = refusal({**SECTION, "kind": "modul"})
        assert message.startswith("backbone.kind: 'modul' is not a registered backbone.")
        assert message.endswith("Did you mean 'module'? Or 'auto'.")
        assert "\n" not in message

    def test_overriding_the_kind_drops_its_options_and_keeps_the_tap(self):
        config = lesa.load_config({**RAW, "backbone": {**SECTION, "tap": "output"}}, ["backbone.kind=flux"])
        assert config.backbone.model_dump(mode="json") == {"kind": "flux", "tap": "output"}


class TestTheModel:
    def test_wrong_paths_name_what_there_is(self):
        assert misfit(blocks=["block"], head="final") == (
            "backbone.blocks: PlainDiT has no module 'block'. It has: x_embedder, t_embedder, y_embedder, blocks, "
            "final_layer. Did you mean 'blocks'?\n"
            "backbone.head: PlainDiT has no module 'final'. It has: x_embedder, t_embedder, y_embedder, blocks, "
            "final_layer. Did you mean 'final_layer'?"
        )

    def test_a_module_that_is_no_list(self):
        assert misfit(blocks=["t_embedder"]) == (
            "backbone.blocks: 't_embedder' is a TimeEmbedder, not a ModuleList, Sequential or ModuleDict. "
            "Name the list of blocks inside it: it has mlp."
        )

    def test_an_empty_list(self):
        model = PlainDiT()
        model.blocks = nn.ModuleList()
        assert misfit(model) == "backbone.blocks: 'blocks' is empty, so caching it would save nothing."

    def test_a_dictionary_of_lists(self):
        model = PlainDiT()
        model.modes = nn.ModuleDict({"image": model.blocks, "text": nn.ModuleList([nn.Identity()])})
        assert misfit(model, blocks=["modes"]) == (
            "backbone.blocks: 'modes' is a ModuleDict of lists. Name the lists inside it: modes.image, modes.text."
        )

    @pytest.mark.parametrize("head", ["blocks.2", "blocks"])
    def test_a_head_inside_of_the_blocks(self, head):
        assert misfit(head=head) == f"backbone.head: '{head}' is in the blocks; name the module after them."

    def test_wrong_names_of_arguments(self):
        assert misfit(sigma="timestep/1000", latent="z", condition="label") == (
            "backbone.sigma: 'timestep/1000' needs an argument 'timestep'. PlainDiT.forward takes: x, t, y.\n"
            "backbone.latent: there is no argument 'z'. PlainDiT.forward takes: x, t, y.\n"
            "backbone.condition: there is no argument 'label'. PlainDiT.forward takes: x, t, y."
        )

    def test_the_latent_is_not_the_time(self):
        assert misfit(latent="t") == "backbone.latent: 't' is the argument that backbone.sigma reads; name another one."

    def test_a_forward_that_takes_the_time_alone(self):
        class Clock(PlainDiT):
            def forward(self, t):
                return t

        assert "None of these can be the latent" in misfit(Clock())

    def test_stand_ins_for_a_list_that_is_not_named(self):
        assert misfit(block_returns={"layers": "x"}) == (
            "backbone.block_returns: 'layers' is not among backbone.blocks: blocks."
        )


def run(*args, model=None, tap="pre_head", **kwargs):
    model = model or PlainDiT()
    backbone = {name: kwargs.pop(name) for name in (*SECTION, "latent", "condition") if name in kwargs}
    with lesa.accelerate(model, load(tap=tap, **backbone), sigmas=[1, 0.5, 0]) as session, torch.no_grad():
        model(*args, **kwargs)
    return session.report


class TestTheCall:
    latent, y = torch.ones(2, 4, 8, 8), torch.tensor([1, 2])

    @pytest.mark.parametrize(
        ("sigma", "t", "level"), [("t", 500.0, "500"), ("t/10", 500.0, "50"), ("1 - t", 500.0, "-499")]
    )
    def test_invalid_noise_levels(self, sigma, t, level):
        with pytest.raises(UnsupportedBackboneError) as caught:
            run(self.latent, torch.full((2,), t), self.y, sigma=sigma)
        assert str(caught.value) == (
            f"PlainDiT: backbone.sigma: '{sigma}' gave {level}, but noise levels are in [0, 1]; 1 is noise. "
            "For timesteps up to 1000 write 't/1000', for a time from noise to data '1 - t'."
        )

    def test_noise_levels_that_differ_within_a_batch(self):
        with pytest.raises(UnsupportedBackboneError, match="the samples of a batch are at different noise levels"):
            run(self.latent, torch.tensor([500.0, 400.0]), self.y)

    def test_a_latent_that_is_no_tensor(self):
        class Named(PlainDiT):
            def forward(self, name, x, t, y):
                return super().forward(x, t, y)

        with pytest.raises(UnsupportedBackboneError, match=r"backbone.latent: 'name' of Named is a str, not a tensor"):
            run("a", self.latent, torch.full((2,), 500.0), self.y, model=Named())
        run("a", self.latent, torch.full((2,), 500.0), self.y, model=Named(), latent="x")

    def test_a_time_that_is_no_number(self):
        with pytest.raises(UnsupportedBackboneError, match=r"backbone.sigma: 't' of PlainDiT is a str, neither"):
            run(self.latent, "now", self.y)

    def test_an_argument_that_two_stars_did_not_catch(self):
        class Loose(PlainDiT):
            def forward(self, x, **kwargs):
                return super().forward(x, kwargs["time"], kwargs["y"])

        with pytest.raises(UnsupportedBackboneError, match=r"Loose was called without 't'. The call has: x, time, y\."):
            run(self.latent, time=torch.full((2,), 500.0), y=self.y, model=Loose())

    def test_a_number_for_the_time(self):
        class Scalar(PlainDiT):
            def forward(self, x, t, y):
                return super().forward(x, torch.full((len(x),), t), y)

        assert run(self.latent, 500, self.y, model=Scalar()).nfe == 1


def _parsed(text: str):
    import yaml

    return yaml.safe_load(text)
