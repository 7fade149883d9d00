"""HunyuanVideo: `HunyuanVideoTransformer3DModel` of diffusers."""

from __future__ import annotations

from lesa_framework import BackboneAdapter


class HunyuanVideoAdapter(BackboneAdapter):
    """Video tokens reach `norm_out` alone; timesteps run from 1000 to 0.

    The paper takes the feature at `output`. At the other taps two attention blocks in `context_embedder` still run
    on predicted steps: they read the prompt, not the video.
    """

    model_class = "HunyuanVideoTransformer3DModel"
    blocks = ("transformer_blocks", "single_transformer_blocks")
    head = "norm_out"
    timestep_scale = 1 / 1000
