"""Image models whose blocks see text and image together; only image tokens reach the final norm."""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor

from lesa_diffusers.lists import OneList, TwoLists
from lesa_framework import Arguments, BackboneAdapter


class FluxAdapter(TwoLists):
    """Image tokens reach `norm_out` alone; the pipeline passes the noise level itself as timestep.

    ControlNet residuals are added by the model's loop after each block, which is why the feature is
    taken at the final norm and not from a block.
    """

    model_class = "FluxTransformer2DModel"


class Flux2Adapter(TwoLists):
    """The root cuts the text off; the pipeline passes the noise level itself as timestep."""

    model_class = "Flux2Transformer2DModel"


class ChromaAdapter(TwoLists):
    """The root cuts the text off; the pipeline passes the noise level itself as timestep."""

    model_class = "ChromaTransformer2DModel"


class QwenImageAdapter(OneList):
    """Image tokens reach `norm_out` alone; the pipeline passes the noise level itself as timestep.

    The paper takes the feature at `post_norm`. True guidance calls the model twice a step, with and without the
    prompt: two branches. ControlNet residuals are added after each block by the model's own loop, and the edit
    pipelines append the tokens of their reference images: both are part of what `norm_out` gets.
    """

    model_class = "QwenImageTransformer2DModel"


class QwenImage21Adapter(OneList):
    """The prompt and the pictures to edit are tokens too; the pipeline passes the noise level itself as timestep.

    With the key-value cache, which the pipeline uses by default, only the first step has the tokens of the prompt. The
    latent is the same in all steps; here it gets a further axis in the first one, so that features of different lengths
    do not mix and the second step is computed.
    """

    model_class = "QwenImage21Transformer2DModel"

    def latent(self, arguments: Arguments) -> Tensor:
        """The current latent, read-only; (samples, 1, tokens, channels) in the step that fills the cache."""
        latent = super().latent(arguments)
        return latent[:, None] if _fills_cache(arguments) else latent

    def as_given(self, tensor: Tensor, arguments: Arguments) -> Tensor:
        """Without the further axis."""
        return tensor[:, 0] if _fills_cache(arguments) else tensor


def _fills_cache(arguments: Arguments) -> bool:
    return arguments.get("kv_cache_mode") == "extract"


class SD3Adapter(OneList):
    """Guidance is one batched call; skip-layer guidance makes a second one, which is a branch of its own."""

    model_class = "SD3Transformer2DModel"
    timestep_scale = 1 / 1000


class HunyuanImageAdapter(TwoLists):
    """`context_embedder`, which reads the prompt alone, has attention blocks of its own."""

    model_class = "HunyuanImageTransformer2DModel"
    timestep_scale = 1 / 1000


class AuraFlowAdapter(BackboneAdapter):
    """The pipeline passes the noise level itself as timestep."""

    model_class = "AuraFlowTransformer2DModel"
    blocks = ("joint_transformer_blocks", "single_transformer_blocks")
    head = "norm_out"


class CogView3PlusAdapter(OneList):
    """Text and image travel side by side."""

    model_class = "CogView3PlusTransformer2DModel"
    timestep_scale = 1 / 1000


class CogView4Adapter(OneList):
    """Text and image travel side by side."""

    model_class = "CogView4Transformer2DModel"
    timestep_scale = 1 / 1000


class HiDreamAdapter(BackboneAdapter):
    """The forward uses after its first loop what only that loop sets, so stand-ins take the blocks' place there."""

    model_class = "HiDreamImageTransformer2DModel"
    blocks = ("double_stream_blocks", "single_stream_blocks")
    head = "final_layer"
    block_returns = MappingProxyType({"double_stream_blocks": ("hidden_states", "encoder_hidden_states")})
    condition_argument = "encoder_hidden_states_llama3"
    timestep_argument = "timesteps"
    timestep_scale = 1 / 1000


class BriaAdapter(TwoLists):
    """Text and image travel side by side."""

    model_class = "BriaTransformer2DModel"
    timestep_scale = 1 / 1000


class BriaFiboAdapter(TwoLists):
    """Every block gets a text layer of its own; they are projected on predicted steps too."""

    model_class = "BriaFiboTransformer2DModel"
    timestep_scale = 1 / 1000


class LongCatImageAdapter(TwoLists):
    """The pipeline passes the noise level itself as timestep."""

    model_class = "LongCatImageTransformer2DModel"


class OvisImageAdapter(TwoLists):
    """The pipeline passes the noise level itself as timestep."""

    model_class = "OvisImageTransformer2DModel"


class GlmImageAdapter(OneList):
    """The pipeline counts timesteps from 999 instead of 1000."""

    model_class = "GlmImageTransformer2DModel"
    timestep_scale = 1 / 1000
    timestep_offset = 1 / 1000


class NucleusMoEImageAdapter(OneList):
    """The text is read, never changed; the pipeline passes the noise level itself as timestep."""

    model_class = "NucleusMoEImageTransformer2DModel"


class JoyImageEditAdapter(BackboneAdapter):
    """Reference pictures are further frames; `norm_out` gets them all."""

    model_class = "JoyImageEditTransformer3DModel"
    blocks = ("double_blocks",)
    head = "norm_out"
    timestep_scale = 1 / 1000
