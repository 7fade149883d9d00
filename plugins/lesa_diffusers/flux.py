"""FLUX: `FluxTransformer2DModel` of diffusers."""

from __future__ import annotations

from lesa_framework import BackboneAdapter


class FluxAdapter(BackboneAdapter):
    """Image tokens reach `norm_out` alone; the pipeline passes the noise level itself as timestep.

    ControlNet residuals are added by the model's loop after each block, which is why the feature is
    taken at the final norm and not from a block.
    """

    model_class = "FluxTransformer2DModel"
    blocks = ("transformer_blocks", "single_transformer_blocks")
    head = "norm_out"
