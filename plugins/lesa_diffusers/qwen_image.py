"""Qwen-Image: `QwenImageTransformer2DModel` of diffusers."""

from __future__ import annotations

from lesa_framework import BackboneAdapter


class QwenImageAdapter(BackboneAdapter):
    """Image tokens reach `norm_out` alone; the pipeline passes the noise level itself as timestep.

    The paper takes the feature at `post_norm`. True guidance calls the model twice a step, with and without the
    prompt: two branches. ControlNet residuals are added after each block by the model's own loop, and the edit
    pipelines append the tokens of their reference images: both are part of what `norm_out` gets.
    """

    model_class = "QwenImageTransformer2DModel"
    blocks = ("transformer_blocks",)
    head = "norm_out"
