"""Audio models."""

from __future__ import annotations

from lesa_framework import BackboneAdapter, Tap


class StableAudioAdapter(BackboneAdapter):
    """No norm closes the stack, so there is no `post_norm`."""

    model_class = "StableAudioDiTModel"
    block_lists = ("transformer_blocks",)
    closing = "proj_out"
    taps = (Tap.PRE_HEAD, Tap.OUTPUT)
