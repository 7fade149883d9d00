"""How large the reference transformers are: the one place to change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the processes that draw scenes import this module too
    from torch import Tensor

#: Numbers in an attention head; the rotary embeddings are divided among its axes.
HEAD = 32


class Backbone(StrEnum):
    """Transformer classes that have a reference model."""

    flux = "flux"
    qwen_image = "qwen_image"
    hunyuan_video = "hunyuan_video"


@dataclass(frozen=True)
class Sizes:
    """Width and depth of a transformer.

    Attributes:
        heads: Attention heads; the width is `HEAD` times as many.
        blocks: Blocks in which text and picture have weights of their own.
        single_blocks: Blocks in which they share them.
        refiner_blocks: Blocks for the text alone, before the others.
    """

    heads: int
    blocks: int
    single_blocks: int = 0
    refiner_blocks: int = 0

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Sizes:
        """The sizes of a denoiser's weights.

        Raises:
            KeyError: They are not those of a denoiser.
        """
        return cls(
            weights["transformer.norm_out.linear.weight"].shape[1] // HEAD,
            _count(weights, "transformer.transformer_blocks."),
            _count(weights, "transformer.single_transformer_blocks."),
            _count(weights, "transformer.context_embedder.token_refiner.refiner_blocks."),
        )


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)})


#: Those of the bundled models, and of what is trained from scratch.
SIZES = {
    Backbone.flux: Sizes(heads=3, blocks=3, single_blocks=10),
    Backbone.qwen_image: Sizes(heads=3, blocks=7),
    Backbone.hunyuan_video: Sizes(heads=3, blocks=3, single_blocks=8, refiner_blocks=1),
}
