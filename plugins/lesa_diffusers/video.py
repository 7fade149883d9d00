"""Video models. A feature holds every frame."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from lesa_diffusers.lists import OneList, TwoLists
from lesa_framework import BackboneAdapter


class LTXAdapter(OneList):
    """With a conditioning image each token has a timestep of its own; the greatest is the noise level."""

    model_class = "LTXVideoTransformer3DModel"
    timestep_scale = 1 / 1000


class CogVideoXAdapter(BackboneAdapter):
    """Two norms follow one another; the first is the head."""

    model_class = "CogVideoXTransformer3DModel"
    blocks = ("transformer_blocks",)
    head = "norm_final"
    timestep_scale = 1 / 1000


class ConsisIDAdapter(OneList):
    """The text is cut off between `norm_final` and `norm_out`, so the second norm is the head."""

    model_class = "ConsisIDTransformer3DModel"
    timestep_scale = 1 / 1000


class HunyuanVideoAdapter(TwoLists):
    """Video tokens reach `norm_out` alone; timesteps run from 1000 to 0.

    The paper takes the feature at `output`.
    """

    model_class = "HunyuanVideoTransformer3DModel"
    timestep_scale = 1 / 1000


class HunyuanVideo15Adapter(OneList):
    """`context_embedder`, which reads the prompt alone, has attention blocks of its own."""

    model_class = "HunyuanVideo15Transformer3DModel"
    timestep_scale = 1 / 1000


class HunyuanVideoFramepackAdapter(TwoLists):
    """Frames of the history are cut off before `norm_out`; each section is a run of its own."""

    model_class = "HunyuanVideoFramepackTransformer3DModel"
    timestep_scale = 1 / 1000


class MochiAdapter(OneList):
    """Timesteps run from 0 (noise) to 1000."""

    model_class = "MochiTransformer3DModel"
    timestep_scale = -1 / 1000
    timestep_offset = 1.0


class AllegroAdapter(OneList):
    """Guidance is one batched call."""

    model_class = "AllegroTransformer3DModel"
    timestep_scale = 1 / 1000


class LatteAdapter(BackboneAdapter):
    """Blocks over space and over time take turns; the feature is (batch x frames, patches, channels)."""

    model_class = "LatteTransformer3DModel"
    blocks = ("transformer_blocks", "temporal_transformer_blocks")
    head = "norm_out"
    timestep_scale = 1 / 1000

    def refuse(self, model: nn.Module, arguments: Mapping[str, object]) -> str | None:  # noqa: ARG002 - the contract's signature
        """Half of the blocks would not run."""
        if arguments.get("enable_temporal_attentions", True):
            return None
        return "without the blocks over time, calls are not cached. Leave enable_temporal_attentions on, or detach."


class EasyAnimateAdapter(BackboneAdapter):
    """Two norms follow one another; the first is the head."""

    model_class = "EasyAnimateTransformer3DModel"
    blocks = ("transformer_blocks",)
    head = "norm_final"
    timestep_scale = 1 / 1000


class Kandinsky5Adapter(BackboneAdapter):
    """The few blocks that read the prompt still run on predicted steps."""

    model_class = "Kandinsky5Transformer3DModel"
    blocks = ("visual_transformer_blocks",)
    head = "out_layer"
    timestep_scale = 1 / 1000


class CosmosAdapter(OneList):
    """Pipelines of Cosmos Predict 2 pass `sigma / (sigma + 1)` as timestep."""

    model_class = "CosmosTransformer3DModel"


class SanaVideoAdapter(OneList):
    """Guidance is one batched call."""

    model_class = "SanaVideoTransformer3DModel"
    timestep_scale = 1 / 1000


class HeliosAdapter(BackboneAdapter):
    """`norm_out` cuts the frames of the history off."""

    model_class = "HeliosTransformer3DModel"
    blocks = ("blocks",)
    head = "norm_out"
    timestep_scale = 1 / 1000


class MotifVideoAdapter(TwoLists):
    """The last blocks of the second list are a decoder, which starts from the latent again."""

    model_class = "MotifVideoTransformer3DModel"
    timestep_scale = 1 / 1000
