"""HunyuanVideo: `HunyuanVideoTransformer3DModel` of diffusers."""

from __future__ import annotations

from lesa_framework import BackboneAdapter


class HunyuanVideoAdapter(BackboneAdapter):
    """Video tokens reach `norm_out` alone; timesteps run from 1000 to 0.

    The paper takes the feature at `output`.
    """

    model_class = "HunyuanVideoTransformer3DModel"
    blocks = ("transformer_blocks", "single_transformer_blocks")
    head = "norm_out"
    timestep_scale = 1 / 1000
