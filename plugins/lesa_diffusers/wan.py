"""Wan and the models that grew from it: `norm_out` gets the hidden state in float32."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from lesa_framework import BackboneAdapter


class WanAdapter(BackboneAdapter):
    """Wan 2.1, and both transformers of Wan 2.2."""

    model_class = "WanTransformer3DModel"
    blocks: tuple[str, ...] = ("blocks",)
    head = "norm_out"
    head_in_float32 = True
    timestep_scale = 1 / 1000


class WanVACEAdapter(WanAdapter):
    """The blocks that read the control video are bypassed as well: only the stack uses what they make."""

    model_class = "WanVACETransformer3DModel"
    blocks = ("blocks", "vace_blocks")


class WanAnimateAdapter(WanAdapter):
    """Motion and face have encoders of their own, before the blocks."""

    model_class = "WanAnimateTransformer3DModel"


class ChronoEditAdapter(WanAdapter):
    """The layout of Wan."""

    model_class = "ChronoEditTransformer3DModel"


class SkyReelsV2Adapter(WanAdapter):
    """The layout of Wan; with diffusion forcing every frame has a noise level of its own, which is refused."""

    model_class = "SkyReelsV2Transformer3DModel"

    def refuse(self, model: nn.Module, arguments: Mapping[str, object]) -> str | None:  # noqa: ARG002 - the contract's signature
        """Frames that are denoised apart have no common step."""
        if arguments.get("enable_diffusion_forcing"):
            return "with diffusion forcing a call has no one noise level. Use the pipelines without it."
        return None
