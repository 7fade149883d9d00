"""Guesses about models without an adapter."""

from __future__ import annotations

from torch import nn

from lesa_framework import layout
from lesa_framework.testing import TinyDiT


def stack(count: int, width: int = 2, kind: type[nn.Module] = nn.ModuleList) -> nn.Module:
    blocks = [nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(count)]
    return nn.Sequential(*blocks) if kind is nn.Sequential else nn.ModuleList(blocks)


class Shaped(nn.Module):
    """Modules under the given names, in order."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x, timesteps, *rest, y=None, **others):
        return x


def test_the_lists_of_blocks_and_what_follows_them():
    assert layout.guess(TinyDiT()) == layout.Guess(
        ("transformer_blocks", "single_transformer_blocks"), "norm_out", "timestep"
    )


def test_lists_inside_of_modules_and_sequences():
    model = Shaped(embed=nn.Linear(2, 2), inner=Shaped(layers=stack(3, kind=nn.Sequential)), out=nn.Linear(2, 2))
    assert layout.guess(model) == layout.Guess(("inner.layers",), "out", "timesteps")
    assert layout.guess(Shaped(inner=Shaped(layers=stack(3), norm=nn.Identity()))).head == "inner.norm"


def test_a_head_goes_by_its_name_before_its_place():
    # Embeddings may be defined after the head, and one of them may look like a stack.
    model = Shaped(blocks=stack(3), norm_out=nn.Identity(), text_layers=stack(3), embed=nn.Linear(2, 2))
    assert layout.guess(model) == layout.Guess(("blocks",), "norm_out", "timesteps")
    model = Shaped(blocks=stack(2), embed=nn.Linear(2, 2), final_layer=nn.Identity(), norm_out=nn.Identity())
    assert layout.guess(model).head == "final_layer"
    model = Shaped(blocks=stack(2), norm=nn.Identity(), proj_out=nn.Identity())
    assert layout.guess(model).head == "norm"


def test_a_stack_is_no_head_whatever_its_name():
    model = Shaped(in_blocks=stack(2), out_blocks=stack(2), decode=nn.Identity())
    assert layout.guess(model) == layout.Guess(("in_blocks", "out_blocks"), "decode", "timesteps")


def test_what_is_no_stack():
    model = Shaped(
        mlp=nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)),  # two layers, not two blocks
        refiner=stack(2),  # a twentieth of the numbers
        blocks=stack(2, width=9),
        head=nn.Linear(2, 2),
    )
    assert layout.guess(model).blocks == ("blocks",)


def test_a_single_block_counts_when_it_is_called_so():
    assert layout.guess(Shaped(blocks=stack(1), head=nn.Identity())).blocks == ("blocks",)
    assert layout.guess(Shaped(pair=stack(1), head=nn.Identity())).blocks == ()


def test_nothing_after_the_blocks():
    assert layout.guess(Shaped(blocks=stack(2))).head is None


def test_arguments_are_those_with_a_name():
    assert layout.arguments(Shaped()) == ("x", "timesteps", "y")


def test_missing_modules():
    model = Shaped(blocks=stack(2), head=nn.Identity())
    assert layout.missing(model, ["blocks", "heads", "blocks.1", ""]) == ["heads", ""]
    assert layout.no_module(model, "heads") == (
        "Shaped has no module 'heads'. It has: blocks, head. Did you mean 'head'?"
    )
