"""Models that put text and image into one sequence, which reaches the head whole."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from lesa_framework import BackboneAdapter


class Lumina2Adapter(BackboneAdapter):
    """Timesteps run from 0 (noise) to 1; the refiners still run on predicted steps."""

    model_class = "Lumina2Transformer2DModel"
    blocks = ("layers",)
    head = "norm_out"
    timestep_scale = -1.0
    timestep_offset = 1.0


class OmniGenAdapter(BackboneAdapter):
    """Timesteps run from 0 (noise) to 1; `norm_out` gets the image tokens alone."""

    model_class = "OmniGenTransformer2DModel"
    blocks = ("layers",)
    head = "norm_out"
    condition_argument = "input_ids"
    timestep_scale = -1.0
    timestep_offset = 1.0


class ZImageAdapter(BackboneAdapter):
    """Latents and outputs are lists, one tensor for each sample; timesteps run from 0 (noise) to 1.

    The refiners still run on predicted steps.
    """

    model_class = "ZImageTransformer2DModel"
    blocks = ("layers",)
    head = "all_final_layer.2-1"
    latent_argument = "x"
    condition_argument = "cap_feats"
    timestep_argument = "t"
    timestep_scale = -1.0
    timestep_offset = 1.0

    def refuse(self, model: nn.Module, arguments: Mapping[str, object]) -> str | None:  # noqa: ARG002 - the contract's signature
        """The omni mode has lists of lists, and tokens with and without noise."""
        latents = arguments.get(self.latent_argument)
        if isinstance(latents, list) and latents and isinstance(latents[0], list):
            return "calls with reference images (lists of lists in `x`) are not cached. Detach the session for them."
        return None


class ErnieImageAdapter(BackboneAdapter):
    """A feature is (tokens, batch, channels), the text's rows after those of the image."""

    model_class = "ErnieImageTransformer2DModel"
    blocks = ("layers",)
    head = "final_norm"
    condition_argument = "text_bth"
    timestep_scale = 1 / 1000


class Krea2Adapter(BackboneAdapter):
    """The root cuts the text off before `final_layer`; the text is fused in blocks of its own, before the others."""

    model_class = "Krea2Transformer2DModel"
    blocks = ("transformer_blocks",)
    head = "final_layer"


class BriaFibo2Adapter(BackboneAdapter):
    """The root cuts text and reference pictures off before `final_layer`; the refiners still run on predicted steps."""

    model_class = "BriaFibo2Transformer2DModel"
    blocks = ("layers",)
    head = "final_layer"
