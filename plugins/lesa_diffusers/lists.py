"""The two layouts of diffusers that most models share: their lists of blocks, and `norm_out` after them."""

from __future__ import annotations

from lesa_framework import BackboneAdapter


class OneList(BackboneAdapter):
    """One list of blocks. A subclass gives its `model_class`, and how its timesteps count where not from 1 to 0."""

    blocks = ("transformer_blocks",)
    head = "norm_out"


class TwoLists(BackboneAdapter):
    """Blocks that keep text and image apart, then blocks that join them. A subclass gives the same as of `OneList`."""

    blocks = ("transformer_blocks", "single_transformer_blocks")
    head = "norm_out"
