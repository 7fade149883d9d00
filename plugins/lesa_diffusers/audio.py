"""Audio models."""

from __future__ import annotations

from types import MappingProxyType

from lesa_framework import BackboneAdapter, Tap


class StableAudioAdapter(BackboneAdapter):
    """No norm follows the stack, so there is no `post_norm`."""

    model_class = "StableAudioDiTModel"
    blocks = ("transformer_blocks",)
    head = "proj_out"
    taps = (Tap.PRE_HEAD, Tap.OUTPUT)


class AceStepAdapter(BackboneAdapter):
    """Its forward reads `layers[0].self_attn.processor`, so stand-ins take the blocks' place on predicted steps."""

    model_class = "AceStepTransformer1DModel"
    blocks = ("layers",)
    head = "norm_out"
    block_returns = MappingProxyType({"layers": ("hidden_states",)})
