"""Image models whose blocks read the condition by cross-attention, or a class label."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from lesa_framework import BackboneAdapter


class DiTAdapter(BackboneAdapter):
    """Its tail reads `transformer_blocks[0].norm1.emb`, so stand-ins take the blocks' place on predicted steps."""

    model_class = "DiTTransformer2DModel"
    blocks = ("transformer_blocks",)
    head = "norm_out"
    block_returns = MappingProxyType({"transformer_blocks": ("hidden_states",)})
    condition_argument = "class_labels"
    timestep_scale = 1 / 1000


class PixArtAdapter(BackboneAdapter):
    """Guidance is one batched call."""

    model_class = "PixArtTransformer2DModel"
    blocks = ("transformer_blocks",)
    head = "norm_out"
    timestep_scale = 1 / 1000


class HunyuanDiTAdapter(BackboneAdapter):
    """Skip connections start and end inside the stack."""

    model_class = "HunyuanDiT2DModel"
    blocks = ("blocks",)
    head = "norm_out"
    timestep_scale = 1 / 1000


class SanaAdapter(BackboneAdapter):
    """Guidance is one batched call; Sana-Sprint gets guidance as a number, and the noise level itself as timestep."""

    model_class = "SanaTransformer2DModel"
    blocks = ("transformer_blocks",)
    head = "norm_out"
    timestep_scale = 1 / 1000

    def noise_level(self, arguments: Mapping[str, object]) -> Tensor | float:
        """A model that was distilled with guidance counts to 1 instead of 1000."""
        return super().noise_level(arguments) if arguments.get("guidance") is None else self.timestep(arguments)

    def shifted(self, arguments: Mapping[str, object], shift: float | Tensor) -> Tensor | float:
        """In the units of `noise_level`."""
        is_distilled = arguments.get("guidance") is not None
        return self.timestep(arguments) + shift if is_distilled else super().shifted(arguments, shift)


class PrxAdapter(BackboneAdapter):
    """`final_layer` is norm and projection in one, so `post_norm` is what it returns."""

    model_class = "PRXTransformer2DModel"
    blocks = ("blocks",)
    head = "final_layer"


class LuminaNextAdapter(BackboneAdapter):
    """Timesteps run from 0 (noise) to 1; `norm_out` projects too, so `post_norm` is what it returns."""

    model_class = "LuminaNextDiT2DModel"
    blocks = ("layers",)
    head = "norm_out"
    timestep_scale = -1.0
    timestep_offset = 1.0
