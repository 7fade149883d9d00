"""Stacks that are not one `ModuleList` in a loop."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lesa_framework as lesa
from lesa_framework.testing import check_backbone
from tests.plugins.lesa_module.plain_dit import CHANNELS, CLASSES, WIDTH, DiTBlock, PlainDiT
from tests.plugins.lesa_module.test_module import noise

RAW = {"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}
SECTION = {"kind": "module", "blocks": "blocks", "head": "final_layer", "sigma": "t/1000"}


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return make()


class SequentialDiT(PlainDiT):
    """Blocks that take one argument each, and are called at once."""

    def __init__(self):
        super().__init__()
        self.blocks = seeded(
            lambda: nn.Sequential(*(nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)) for _ in range(3)))
        )

    def forward(self, x, t, y):
        hidden, c = self.embed(x, t, y)
        return self.unpatchify(self.final_layer(self.blocks(hidden), c), *x.shape[-2:])


class InnerDiT(PlainDiT):
    """The stack is in a module of its own, as a dictionary; the head is called by the names of its arguments."""

    def __init__(self):
        super().__init__()
        self.core = nn.Module()
        self.core.layers = nn.ModuleDict({f"layer{number}": block for number, block in enumerate(self.blocks)})
        del self.blocks

    def forward(self, x, t, y):
        hidden, c = self.embed(x, t, y)
        for block in self.core.layers.values():
            hidden = block(hidden, c)
        return self.unpatchify(self.final_layer(c=c, x=hidden), *x.shape[-2:])


class UShapedDiT(PlainDiT):
    """Half of the blocks keep what the other half adds."""

    def __init__(self):
        super().__init__()
        self.out_blocks = seeded(lambda: nn.ModuleList(DiTBlock() for _ in range(3)))

    def forward(self, x, t, y):
        hidden, c = self.embed(x, t, y)
        skips = []
        for block in self.blocks:
            hidden = block(hidden, c)
            skips.append(hidden)
        for block in self.out_blocks:
            hidden = block(hidden + skips.pop(), c)
        return self.unpatchify(self.final_layer(hidden, c), *x.shape[-2:])


class NumberedDiT(PlainDiT):
    """Reads the blocks by number, and looks at one of them after the loop."""

    def forward(self, x, t, y):
        hidden, c = self.embed(x, t, y)
        for number in range(3):
            hidden = self.blocks[number](hidden, c)
        c = c + self.blocks[0].norm1.eps
        return self.unpatchify(self.final_layer(hidden, c), *x.shape[-2:])


class PairBlock(DiTBlock):
    """Hands the conditioning on, changed."""

    def forward(self, x, c):
        return super().forward(x, c), c + 0.1


class PairDiT(PlainDiT):
    """Blocks return two tensors, and only the first is used after them."""

    def __init__(self):
        super().__init__()
        self.blocks = seeded(lambda: nn.ModuleList(PairBlock() for _ in range(3)))

    def forward(self, x, t, y):
        hidden, c = self.embed(x, t, y)
        inner = c
        for block in self.blocks:
            hidden, inner = block(hidden, inner)
        return self.unpatchify(self.final_layer(hidden, c), *x.shape[-2:])


def call(model, latent, sigma, prompt):
    y = torch.full((latent.shape[0],), prompt % (CLASSES + 1), device=latent.device)
    return model(latent, torch.full((latent.shape[0],), 1000 * sigma, device=latent.device), y)[:, :CHANNELS]


def section(**options):
    return lesa.load_config({**RAW, "backbone": {**SECTION, **options}}).backbone


@pytest.mark.parametrize(
    ("make_model", "options"),
    [
        (SequentialDiT, {}),
        (InnerDiT, {"blocks": "core.layers"}),
        (UShapedDiT, {"blocks": ["blocks", "out_blocks"]}),
        (NumberedDiT, {"block_returns": {"blocks": "x"}}),
        (PairDiT, {}),
    ],
)
def test_what_fits(make_model, options):
    check_backbone(
        lesa.find_adapter(make_model(), section(**options)).adapter,
        make_model=make_model,
        call=call,
        make_latent=lambda size: noise(size=8 * size)[:1],
    )
