from __future__ import annotations

import pytest
import torch

from lesa_framework import BackboneAdapter, PluginContractError, Tap, UnsupportedBackboneError
from lesa_framework.plugin.manager import Plugins
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, run_backbone
from tests.plugin.registering import plugin
from tests.testing.conformance.backbone.mutant import call, make_latent


def test_an_adapter_that_lacks_its_layout_cannot_be_made():
    with pytest.raises(PluginContractError, match="BackboneAdapter: sets no model_class and no blocks and no head"):
        BackboneAdapter()


@pytest.mark.parametrize("name", ["model_class", "blocks", "head"])
def test_each_part_of_the_layout_is_needed(name):
    incomplete = type("Incomplete", (TinyDiTAdapter,), {name: ()})
    with pytest.raises(PluginContractError, match=f"Incomplete: sets no {name}. An adapter needs .* on the class, or"):
        incomplete()


WRONG = [
    ({"blocks": "dbl"}, r'blocks is a string\. Give a tuple: `blocks = \("dbl",\)`\.'),
    ({"taps": "pre_head"}, r'taps is a string\. Give a tuple: `taps = \("pre_head",\)`\.'),
    ({"taps": Tap.PRE_HEAD}, r'taps is a string\. Give a tuple: `taps = \("pre_head",\)`\.'),
    ({"taps": ("head",)}, r"taps names 'head'\. Valid: pre_head, post_norm, output\."),
]


@pytest.mark.parametrize(("declared", "message"), WRONG)
def test_what_would_be_read_letter_by_letter_is_refused(declared, message):
    wrong = type("Wrong", (TinyDiTAdapter,), declared)
    with pytest.raises(PluginContractError, match=f"^Wrong: {message}$"):
        wrong()
    with pytest.raises(PluginContractError, match=f"^mine: backbone 'wrong': Wrong: {message}$"):
        Plugins().add("mine", plugin(lambda registrar: registrar.add_backbone("wrong", wrong)))


@pytest.mark.parametrize(("taps", "shown"), [(None, "None"), (3, "3")])
def test_taps_that_are_no_list_are_refused(taps, shown):
    wrong = type("Wrong", (TinyDiTAdapter,), {"taps": taps})
    with pytest.raises(PluginContractError, match=rf"^Wrong: taps is {shown}, not a tuple\. Valid in it: pre_head, "):
        wrong()


@pytest.mark.parametrize("taps", [(Tap.OUTPUT,), ["output"]])
def test_blocks_and_taps_may_be_properties(taps):
    declared = {"taps": property(lambda self: taps), "blocks": property(lambda self: TinyDiTAdapter.blocks)}
    made = type("Made", (TinyDiTAdapter,), declared)
    Plugins().add("mine", plugin(lambda registrar: registrar.add_backbone("made", made)))
    results = run_backbone(made, make_model=TinyDiT, call=call, make_latent=make_latent)
    assert {(result.tap, result.detail) for result in results if result.outcome == "failed"} == set()
    assert {result.tap for result in results} == {None, Tap.OUTPUT}


@pytest.mark.parametrize(("name", "value"), [("taps", "output"), ("blocks", "dbl"), ("taps", None), ("taps", ["head"])])
def test_what_a_property_gives_is_looked_at_when_an_adapter_is_made(name, value):
    wrong = type("Wrong", (TinyDiTAdapter,), {name: property(lambda self: value)})
    Plugins().add("mine", plugin(lambda registrar: registrar.add_backbone("wrong", wrong)))
    with pytest.raises(PluginContractError, match=f"^Wrong: {name} "):
        wrong()


@pytest.mark.parametrize("taps", [("pre_head", "output"), ["pre_head", Tap.OUTPUT]])
def test_taps_may_be_given_by_their_names(taps):
    named = type("Named", (TinyDiTAdapter,), {"taps": taps})
    assert all(found is wanted for found, wanted in zip(named().taps, (Tap.PRE_HEAD, Tap.OUTPUT), strict=True))
    Plugins().add("mine", plugin(lambda registrar: registrar.add_backbone("named", named)))
    results = run_backbone(named, make_model=TinyDiT, call=call, make_latent=make_latent)
    assert {(result.tap, result.detail) for result in results if result.outcome == "failed"} == set()
    assert {result.tap for result in results} == {None, Tap.PRE_HEAD, Tap.OUTPUT}


def test_a_layout_may_come_from_options():
    class Optional(BackboneAdapter):
        def __init__(self, blocks):
            self.model_class, self.blocks, self.head = "TinyDiT", blocks, "norm_out"
            super().__init__()

    assert Optional(("transformer_blocks",)).blocks == ("transformer_blocks",)
    with pytest.raises(PluginContractError, match="sets no blocks"):
        Optional(())


@pytest.mark.parametrize(
    ("given", "guidance"),
    [
        (torch.tensor([3.5]), 3.5),
        (torch.tensor([1.0, 4.0], dtype=torch.bfloat16), 4.0),
        (torch.tensor([3.5], requires_grad=True), 3.5),
        (torch.tensor([3.5], device="meta"), None),
        (torch.tensor([]), None),
        (6, 6.0),
        (None, None),
        ("high", None),
    ],
)
def test_the_guidance_of_a_call(given, guidance):
    assert TinyDiTAdapter().guidance({"guidance": given}) == guidance
    assert TinyDiTAdapter().guidance({}) is None
    without = type("Without", (TinyDiTAdapter,), {"guidance_argument": None})
    assert without().guidance({"guidance": given}) is None


class Plain(BackboneAdapter):
    """A layout, and every default."""

    model_class, blocks, head = "Model", ("blocks",), "norm"


class Other(Plain):
    """The same arguments under other names."""

    latent_argument, condition_argument, timestep_argument = "x", "y", "t"
    timestep_scale, timestep_offset = -0.001, 1.0


def test_the_latent_of_a_call():
    latent, one, two = torch.ones(2, 3), torch.zeros(3), torch.ones(3)
    assert Plain().latent({"hidden_states": latent}) is latent
    assert Other().latent({"hidden_states": one, "x": latent}) is latent
    for listed in ([one, two], (one, two)):
        assert torch.equal(Plain().latent({"hidden_states": listed}), torch.stack([one, two]))


@pytest.mark.parametrize("listed", [[], [torch.ones(2), torch.ones(3)], [torch.ones(2), None]])
def test_a_list_of_latents_has_one_shape(listed):
    with pytest.raises(UnsupportedBackboneError, match=r"hidden_states: a list of .* Call the model once for"):
        Plain().latent({"hidden_states": listed})


def test_an_argument_that_is_not_there_is_named_with_those_that_are():
    given = {"self": None, "x": torch.ones(2, 3), "hidden_states": None}
    with pytest.raises(
        UnsupportedBackboneError,
        match=r"latent_argument is 'hidden_states'.*It gave: x \(Tensor\(2, 3\)\), hidden_states \(NoneType\)\.",
    ):
        Plain().latent(given)
    with pytest.raises(UnsupportedBackboneError, match="Other: timestep_argument is 't'"):
        Other().timestep({"timestep": 1.0})


def test_the_condition_of_a_call():
    text, image = torch.ones(2, 3), torch.zeros(2)
    assert Plain().condition({"encoder_hidden_states": text}) is text
    assert Plain().condition({"encoder_hidden_states": [text, image]}) is text
    assert Plain().condition({"encoder_hidden_states": (image, text)}) is image
    assert Other().condition({"encoder_hidden_states": text, "y": image}) is image
    for nothing in (None, [], [None], "text"):
        assert Plain().condition({"encoder_hidden_states": nothing}) is None
    assert Plain().condition({}) is None
    without = type("Without", (Plain,), {"condition_argument": None})
    assert without().condition({"encoder_hidden_states": text, None: text}) is None


@pytest.mark.parametrize("timestep", [torch.tensor([0.25]), 0.25, 1])
def test_the_noise_level_is_the_timestep_scaled_and_moved(timestep):
    assert Plain().timestep({"timestep": timestep}) is timestep
    assert Plain().noise_level({"timestep": timestep}) == timestep
    assert Other().noise_level({"t": 1000 * timestep}) == pytest.approx(1 - timestep)


def test_by_default_no_call_is_refused_and_nothing_is_special():
    adapter = Plain()
    assert adapter.refuse(torch.nn.Identity(), {"guidance": 1.0}) is None
    assert (adapter.unverified, adapter.head_in_float32, adapter.head_argument) == (False, False, "")
    assert not adapter.block_returns


def test_a_noise_level_that_is_worked_out_is_not_rounded_to_bfloat16_once_more():
    time = torch.tensor([900.0]).bfloat16()
    assert Other().noise_level({"t": time}).dtype is torch.float32
    assert float(Other().noise_level({"t": time})) == pytest.approx(0.1)
    assert Other().noise_level({"t": time.double()}).dtype is torch.float64
