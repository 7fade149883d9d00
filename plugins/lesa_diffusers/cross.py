"""Image models whose blocks read the condition by cross-attention, or a class label."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from lesa_diffusers.lists import OneList
from lesa_framework import BackboneAdapter


class DiTAdapter(OneList):
    """Its tail reads `transformer_blocks[0].norm1.emb`, so stand-ins take the blocks' place on predicted steps."""

    model_class = "DiTTransformer2DModel"
    block_returns = MappingProxyType({"transformer_blocks": ("hidden_states",)})
    condition_argument = "class_labels"
    timestep_scale = 1 / 1000


class PixArtAdapter(OneList):
    """Guidance is one batched call."""

    model_class = "PixArtTransformer2DModel"
    timestep_scale = 1 / 1000


class HunyuanDiTAdapter(BackboneAdapter):
    """Skip connections start and end inside the stack; the loop takes a ControlNet's residuals out of their list."""

    model_class = "HunyuanDiT2DModel"
    blocks = ("blocks",)
    head = "norm_out"
    block_returns = MappingProxyType({"blocks": ("hidden_states",)})
    timestep_scale = 1 / 1000


class SanaAdapter(OneList):
    """Guidance is one batched call; Sana-Sprint gets guidance as a number, and the noise level itself as timestep."""

    model_class = "SanaTransformer2DModel"
    timestep_scale = 1 / 1000

    def noise_level(self, arguments: Mapping[str, object]) -> Tensor | float:
        """A model that was distilled with guidance counts to 1; others count to 1000 times their `timestep_scale`."""
        if arguments.get("guidance") is not None:
            return self.timestep(arguments)
        return super().noise_level(arguments) / _own_scale(arguments)

    def shifted(self, arguments: Mapping[str, object], shift: float | Tensor) -> Tensor | float:
        """In the units of `noise_level`."""
        if arguments.get("guidance") is not None:
            return self.timestep(arguments) + shift
        return super().shifted(arguments, shift * _own_scale(arguments))


def _own_scale(arguments: Mapping[str, object]) -> float:
    """What the pipeline multiplies timesteps by, as the model's configuration says."""
    config = getattr(arguments.get("self"), "config", None)
    return float(getattr(config, "timestep_scale", 1.0))


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
