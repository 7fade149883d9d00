from __future__ import annotations

import pytest
import torch

from lesa_framework import BackboneAdapter, PluginContractError
from lesa_framework.testing import TinyDiTAdapter


def test_an_adapter_that_lacks_its_layout_cannot_be_made():
    with pytest.raises(PluginContractError, match="BackboneAdapter: sets no model_class and no blocks and no head"):
        BackboneAdapter()


@pytest.mark.parametrize("name", ["model_class", "blocks", "head"])
def test_each_part_of_the_layout_is_needed(name):
    incomplete = type("Incomplete", (TinyDiTAdapter,), {name: ()})
    with pytest.raises(PluginContractError, match=f"Incomplete: sets no {name}. An adapter needs .* on the class, or"):
        incomplete()


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
